// A TCP proxy between clients and the broker that can swallow answers: what the broker commits meanwhile, the clients do
// not hear of. Without it a kill would hardly ever fall between a commit and its answer.

package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

type proxy struct {
	listener net.Listener
	broker   string
	// Answers of connections that exist while this is set are thrown away, until the connection ends.
	swallowing atomic.Bool
	mu         sync.Mutex
	open       map[net.Conn]struct{}
}

func startProxy(broker string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, broker: broker, open: make(map[net.Conn]struct{})}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// serve ends both sides when either ends.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	broker, err := net.Dial("tcp", p.broker)
	if err != nil {
		return
	}
	defer broker.Close()
	p.mu.Lock()
	p.open[client] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, client)
		p.mu.Unlock()
	}()
	go func() {
		defer client.Close()
		defer broker.Close()
		io.Copy(broker, client)
	}()
	io.Copy(answers{client, p}, broker)
}

// answers passes bytes on to a client, or drops them.
type answers struct {
	client net.Conn
	proxy  *proxy
}

func (a answers) Write(bytes []byte) (int, error) {
	if a.proxy.swallowing.Load() {
		return len(bytes), nil
	}
	return a.client.Write(bytes)
}

// swallow drops all answers from now on.
func (p *proxy) swallow() { p.swallowing.Store(true) }

// resume passes answers on again, on connections made from now on: what was dropped left a hole in the others.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client := range p.open {
		client.Close()
	}
	p.swallowing.Store(false)
}
