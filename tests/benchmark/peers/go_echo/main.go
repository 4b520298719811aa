// SPDX-License-Identifier: Apache-2.0

// The echo comparison's server in Go: one goroutine a connection.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

var (
	workload = flag.String("workload", "echo", "what the load does")
	workers  = flag.Int("workers", 1, "GOMAXPROCS")
	tasks    = flag.Int("tasks", 1, "connections")
	ops      = flag.Int("ops", 1, "requests")
	busy     = flag.Int("busy", 0, "goroutines that work for 20 us and yield")
)

func cpuNanoseconds() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func echo(connection net.Conn) {
	defer connection.Close()
	data := make([]byte, 1024)
	for {
		n, err := connection.Read(data)
		if err != nil {
			return
		}
		if _, err := connection.Write(data[:n]); err != nil {
			return
		}
	}
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(connection)
	}
}

func work() {
	for {
		for start := time.Now(); time.Since(start) < 20*time.Microsecond; {
		}
		runtime.Gosched()
	}
}

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go serve(listener)
	for i := 0; i < *busy; i++ {
		go work()
	}
	load := exec.Command(os.Getenv("CURG_ECHO_LOAD"),
		fmt.Sprintf("--workload=%s", *workload),
		fmt.Sprintf("--port=%d", listener.Addr().(*net.TCPAddr).Port),
		fmt.Sprintf("--connections=%d", *tasks), fmt.Sprintf("--requests=%d", *ops))
	output, err := load.StdoutPipe()
	if err != nil {
		panic(err)
	}
	if err := load.Start(); err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() && lines.Text()[0] == '{' {
		fmt.Println(lines.Text())
	}
	if lines.Text() != "begin" {
		return
	}
	cpu, start := cpuNanoseconds(), time.Now()
	lines.Scan()
	wall := int64(time.Since(start))
	cpu = cpuNanoseconds() - cpu
	var requests, p50, p99 int64
	if _, err := fmt.Sscanf(lines.Text(), "end %d %d %d", &requests, &p50, &p99); err != nil {
		panic(err)
	}
	report := func(metric, unit string, value float64) {
		fmt.Printf("{\"metric\": %q, \"unit\": %q, \"value\": %.3f, \"wall_ns\": %d, \"cpu_ns\": %d}\n",
			metric, unit, value, wall, cpu)
	}
	report("", "ns/request", float64(wall)/float64(requests))
	report("cpu", "ns/request", float64(cpu)/float64(requests))
	report("p50", "us", float64(p50)/1e3)
	report("p99", "us", float64(p99)/1e3)
}
