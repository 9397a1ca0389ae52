// The cluster of deploy/local-cluster as the driver sees it: its processes, their pages, and what is done to them.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	roleAgent    = "agent"
	roleMetadata = "metadata"
	holdsOrder   = "holds the order"
)

// machine drives one cluster.
type machine struct {
	script string
	folder string
	rows   []row
}

// row is a process as `status --json` tells it.
type row struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Pid     int    `json:"pid"`
	State   string `json:"state"`
	Says    string `json:"says"`
	Address string `json:"address"`
	HTTP    string `json:"http"`
}

func (m *machine) command(arguments ...string) ([]byte, error) {
	command := exec.Command(m.script, append([]string{"--data", m.folder}, arguments...)...)
	var said, complained bytes.Buffer
	command.Stdout, command.Stderr = &said, &complained
	if err := command.Run(); err != nil {
		return said.Bytes(), fmt.Errorf("local-cluster %s: %w\n%s", strings.Join(arguments, " "), err, complained.String())
	}
	return said.Bytes(), nil
}

func (m *machine) do(what string, name string) error {
	_, err := m.command(what, name)
	return err
}

// look asks for all processes; their addresses never change.
func (m *machine) look() error {
	// The exit code only says whether all are ready.
	said, err := m.command("status", "--json")
	var rows []row
	if json.Unmarshal(said, &rows) != nil || len(rows) == 0 {
		return fmt.Errorf("no status: %w", err)
	}
	m.rows = rows
	return nil
}

func (m *machine) of(role string) []row {
	var found []row
	for _, each := range m.rows {
		if each.Role == role {
			found = append(found, each)
		}
	}
	return found
}

// startUntilUp is what a supervisor does: again, until it runs. A metadata process ends when it finds no store.
func (m *machine) startUntilUp(name string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := m.do("start", name)
		if err == nil || strings.Contains(err.Error(), "runs already") {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(time.Second)
	}
}

// holder names the process that says that it holds the order; none while there is none.
func (m *machine) holder() string {
	for _, each := range m.of(roleMetadata) {
		if status, said := page(each.HTTP, "/health/ready"); status == http.StatusOK && said == holdsOrder {
			return each.Name
		}
	}
	return ""
}

// ready waits until everybody is, and says who was not.
func (m *machine) ready(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		if err := m.look(); err != nil {
			return err
		}
		var not []string
		for _, each := range m.rows {
			if each.State != "ready" {
				not = append(not, each.Name+" is "+each.State+" ("+each.Says+")")
			}
		}
		if len(not) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not all are ready: %s", strings.Join(not, ", "))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

var pages = http.Client{Timeout: 2 * time.Second}

// page gives 0 when nobody answers.
func page(address, path string) (int, string) {
	response, err := pages.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text))
}

// metric sums the series of a counter that have a text in their labels.
func metric(address, name, label string) float64 {
	_, text := page(address, "/metrics")
	var sum float64
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, label) {
			value, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			sum += value
		}
	}
	return sum
}

// memory gives the resident bytes of a process, 0 when it is gone.
func memory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// loadAverage is what the machine does beside.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text))[:1], "")
}
