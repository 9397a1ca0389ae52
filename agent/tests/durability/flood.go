// Far more than an agent's buffer holds, sent while nothing can be stored.

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// For each zone: so many producers with so many requests under way each, more than an agent's buffer holds.
	floodClients, floodInFlight = 12, 8
	floodValue                  = 512 << 10
)

// startFlood makes producers that send for as long as `flood` is set; the function ends them.
func (o *outageRun) startFlood() (func(), error) {
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	var clients []*kgo.Client
	stop := func() {
		cancel()
		for _, client := range clients {
			client.Close()
		}
		sending.Wait()
	}
	for _, zone := range zones {
		for i := range floodClients {
			options := append(clientOptions(o.seeds(), fmt.Sprintf("flood-%d", i), zone), kgo.DefaultProduceTopic(floodTopic),
				kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()),
				kgo.MaxProduceRequestsInflightPerBroker(floodInFlight), kgo.MaxBufferedRecords(floodInFlight))
			client, err := kgo.NewClient(options...)
			if err != nil {
				stop()
				return nil, err
			}
			clients = append(clients, client)
			sending.Add(1)
			go func() {
				defer sending.Done()
				value := writeValue(uint32(i), 0, floodValue)
				for n := 0; ctx.Err() == nil; n++ {
					if !o.flood.Load() {
						time.Sleep(50 * time.Millisecond)
						continue
					}
					// What becomes of it is no matter.
					client.Produce(ctx, &kgo.Record{Partition: int32(n % floodPartitions), Value: value}, nil)
				}
			}()
		}
	}
	return stop, nil
}
