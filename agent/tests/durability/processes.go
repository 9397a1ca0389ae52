// The broker and MinIO as child processes: started, frozen, killed. Nothing outlives the driver.

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a running child whose output goes to a file.
type process struct {
	name    string
	command *exec.Cmd
	exited  chan error
}

func start(name, logs string, environment []string, program string, arguments ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(logs, name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(program, arguments...)
	command.Env = append(withoutSettings(os.Environ()), environment...)
	command.Stdout, command.Stderr = log, log
	// The driver's own end, however it comes, is theirs too. A group of its own, so that scripts die whole.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, command: command, exited: make(chan error, 1)}
	go func() { p.exited <- command.Wait() }()
	return p, nil
}

// withoutSettings drops the caller's variables that would configure a child.
func withoutSettings(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool {
		return strings.HasPrefix(variable, "PENSTOCK_") || strings.HasPrefix(variable, "AWS_") || strings.HasPrefix(variable, "MINIO_")
	})
}

func (p *process) signal(s syscall.Signal) error {
	return syscall.Kill(-p.command.Process.Pid, s)
}

// kill is `kill -9`, and waits until the process is gone. An error if it was gone before.
func (p *process) kill() error {
	select {
	case err := <-p.exited:
		return fmt.Errorf("%s ended by itself: %v", p.name, err)
	default:
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// ready waits until a page answers 200; says how long that took.
func (p *process) ready(ctx context.Context, url string) (time.Duration, error) {
	client := http.Client{Timeout: time.Second}
	began := time.Now()
	for {
		if response, err := client.Get(url); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			return 0, fmt.Errorf("%s ended before it was ready: %v", p.name, err)
		case <-ctx.Done():
			return 0, fmt.Errorf("%s is not ready after %v", p.name, time.Since(began))
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// freeAddress finds a port nobody listens on. It is ours again after every restart, as a broker's port is.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
