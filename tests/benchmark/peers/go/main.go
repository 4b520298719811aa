// SPDX-License-Identifier: Apache-2.0

// The comparison's workloads in Go. ../../README.md defines them.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	workload = flag.String("workload", "", "what to do")
	workers  = flag.Int("workers", 1, "GOMAXPROCS")
	tasks    = flag.Int("tasks", 1, "goroutines")
	ops      = flag.Int("ops", 1, "operations")
	live     = flag.Int("live", 0, "goroutines parked beside the workload")
)

const branches = 10 // of the skynet tree

func cpuNanoseconds() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// A stretch of wall time and of this process's CPU time.
type stretch struct{ wall, cpu int64 }

func measure(body func()) stretch {
	cpu, start := cpuNanoseconds(), time.Now()
	body()
	return stretch{int64(time.Since(start)), cpuNanoseconds() - cpu}
}

func report(metric, unit string, value float64, s stretch) {
	fmt.Printf("{\"metric\": %q, \"unit\": %q, \"value\": %.3f, \"wall_ns\": %d, \"cpu_ns\": %d}\n",
		metric, unit, value, s.wall, s.cpu)
}

func reportPerOp(metric, unit string, ops int, s stretch) {
	report(metric, unit, float64(s.wall)/float64(ops), s)
}

// Resident memory of this process and the page tables for it, in bytes.
func residentBytes() int64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	var kib int64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == "VmRSS:" || fields[0] == "VmPTE:" {
			number, _ := strconv.ParseInt(fields[1], 10, 64)
			kib += number
		}
	}
	return kib * 1024
}

// How long a task sleeps: 1 to 10 ms, the same in every program.
func sleepTime(task, sleep int) time.Duration {
	mixed := (uint64(task)*16 + uint64(sleep)) * 0x9E3779B97F4A7C15 >> 40
	return time.Duration(1000+mixed%9001) * time.Microsecond
}

func yieldInTurn(tasks, ops int) {
	var done sync.WaitGroup
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < ops/tasks; j++ {
				runtime.Gosched()
			}
			done.Done()
		}()
	}
	done.Wait()
}

func pingPong(_, ops int) {
	ping, pong := make(chan int64), make(chan int64)
	go func() {
		for value := range ping {
			pong <- value
		}
		close(pong)
	}()
	for i := 0; i < ops; i++ {
		ping <- int64(i)
		<-pong
	}
	close(ping)
	<-pong
}

func spawnAndJoin(tasks, ops int) {
	var done sync.WaitGroup
	for i := 0; i < ops; i += tasks {
		done.Add(tasks)
		for j := 0; j < tasks; j++ {
			go done.Done()
		}
		done.Wait()
	}
}

func skynetChannels(parent chan<- int64, number, leaves int64) {
	if leaves == 1 {
		parent <- number
		return
	}
	children := make(chan int64)
	below := leaves / branches
	for i := int64(0); i < branches; i++ {
		go skynetChannels(children, number+i*below, below)
	}
	var sum int64
	for i := 0; i < branches; i++ {
		sum += <-children
	}
	parent <- sum
}

func skynetJoins(number, leaves int64) int64 {
	if leaves == 1 {
		return number
	}
	var done sync.WaitGroup
	var sums [branches]int64
	below := leaves / branches
	done.Add(branches)
	for i := int64(0); i < branches; i++ {
		go func(i int64) {
			sums[i] = skynetJoins(number+i*below, below)
			done.Done()
		}(i)
	}
	done.Wait()
	var sum int64
	for _, part := range sums {
		sum += part
	}
	return sum
}

func checkSum(sum, leaves int64) {
	if sum != leaves*(leaves-1)/2 {
		panic("wrong sum")
	}
}

func sumOverChannels(leaves int) {
	result := make(chan int64)
	go skynetChannels(result, 0, int64(leaves))
	checkSum(<-result, int64(leaves))
}

func sumOverJoins(leaves int) {
	checkSum(skynetJoins(0, int64(leaves)), int64(leaves))
}

func contend(tasks, ops int) {
	var mutex sync.Mutex
	var done sync.WaitGroup
	count := 0
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < ops/tasks; j++ {
				mutex.Lock()
				count++
				mutex.Unlock()
			}
			done.Done()
		}()
	}
	done.Wait()
	if count != ops/tasks*tasks {
		panic("wrong count")
	}
}

func manyToMany(tasks, ops int) {
	pairs := tasks / 2
	channel := make(chan int64, 128)
	var done sync.WaitGroup
	done.Add(2 * pairs)
	for i := 0; i < pairs; i++ {
		go func() {
			for j := 0; j < ops/pairs; j++ {
				channel <- int64(j)
			}
			done.Done()
		}()
		go func() {
			for j := 0; j < ops/pairs; j++ {
				<-channel
			}
			done.Done()
		}()
	}
	done.Wait()
}

// Starts goroutines that wait for a channel to be closed; returns when all of them do, with what
// wakes them and returns when all have ended.
func park(tasks int) func() {
	if tasks == 0 {
		return func() {}
	}
	gate, allHere := make(chan struct{}), make(chan struct{}, 1)
	toCome := int64(tasks)
	done := new(sync.WaitGroup)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			if atomic.AddInt64(&toCome, -1) == 0 {
				allHere <- struct{}{}
			}
			<-gate
			done.Done()
		}()
	}
	<-allHere
	return func() {
		close(gate)
		done.Wait()
	}
}

func measureParked() {
	before := residentBytes()
	var wakeAll func()
	create := measure(func() { wakeAll = park(*tasks) })
	resident := residentBytes() - before
	wake := measure(wakeAll)
	reportPerOp("create", "ns/task", *tasks, create)
	reportPerOp("wake", "ns/task", *tasks, wake)
	report("resident", "bytes/task", float64(resident)/float64(*tasks), create)
}

func measureTimers() {
	all := measure(func() {
		var done sync.WaitGroup
		done.Add(*tasks)
		for i := 0; i < *tasks; i++ {
			go func(i int) {
				for j := 0; j < *ops; j++ {
					time.Sleep(sleepTime(i, j))
				}
				done.Done()
			}(i)
		}
		done.Wait()
	})
	report("wall", "ms", float64(all.wall)/1e6, all)
	report("cpu", "ms", float64(all.cpu)/1e6, all)
}

func burn(wanted time.Duration) {
	for start := time.Now(); time.Since(start) < wanted; {
	}
}

// Median and 99th percentile, without the first tenth (warming up).
func reportDelays(delays []time.Duration, s stretch) {
	delays = delays[len(delays)/10:]
	sort.Slice(delays, func(i, j int) bool { return delays[i] < delays[j] })
	report("p50", "us", float64(delays[len(delays)/2])/1e3, s)
	report("p99", "us", float64(delays[len(delays)*99/100])/1e3, s)
}

func measureWakeLatency() {
	var over atomic.Bool
	for i := 0; i < *tasks**workers; i++ {
		go func() {
			for ; !over.Load(); runtime.Gosched() {
				burn(20 * time.Microsecond)
			}
		}()
	}
	sentAt, done := make(chan time.Time, 1024), make(chan []time.Duration)
	go func() {
		var delays []time.Duration
		for sent := range sentAt {
			delays = append(delays, time.Since(sent))
		}
		done <- delays
	}()
	work := 20 * time.Microsecond
	if *tasks == 0 {
		work = 500 * time.Microsecond
	}
	all := measure(func() {
		for i := 0; i < *ops; i++ {
			if *tasks == 0 {
				time.Sleep(time.Millisecond)
			}
			sentAt <- time.Now()
			burn(work)
			runtime.Gosched()
		}
		close(sentAt)
	})
	reportDelays(<-done, all)
	over.Store(true)
}

// How many nanoseconds a system call that the scheduler is told of takes more than one that it is not:
// so many of each in a row, in turn; the least of each.
func measureShortCalls() {
	const inARow = 1000
	timeOf := func(call func(trap, a1, a2, a3 uintptr) (uintptr, uintptr, syscall.Errno)) float64 {
		start := time.Now()
		for i := 0; i < inARow; i++ {
			call(syscall.SYS_GETPPID, 0, 0, 0)
		}
		return float64(time.Since(start)) / inARow
	}
	bare, told := timeOf(syscall.RawSyscall), timeOf(syscall.Syscall)
	all := measure(func() {
		for i := inARow; i < *ops; i += inARow {
			bare = min(bare, timeOf(syscall.RawSyscall))
			told = min(told, timeOf(syscall.Syscall))
		}
	})
	report("call", "ns more", told-bare, all)
}

func min(a, b float64) float64 {
	if a < b {
		return a
	}
	return b
}

// What a sleep of 100 us takes longer than that.
func measureSleep() {
	const wanted = 100 * time.Microsecond
	var overshoots []time.Duration
	all := measure(func() {
		for i := 0; i < *ops; i++ {
			start := time.Now()
			time.Sleep(wanted)
			overshoots = append(overshoots, time.Since(start)-wanted)
		}
	})
	reportDelays(overshoots, all)
}

func measureOps(body func(tasks, ops int)) {
	wakeAll := park(*live)
	warmUp := *ops / 10
	if warmUp < *tasks {
		warmUp = *tasks
	}
	body(*tasks, warmUp)
	reportPerOp("", "ns/op", *ops, measure(func() { body(*tasks, *ops) }))
	wakeAll()
}

func measureTree(body func(leaves int)) {
	wakeAll := park(*live)
	body(*tasks / branches)
	reportPerOp("", "ns/leaf", *tasks, measure(func() { body(*tasks) }))
	wakeAll()
}

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	switch *workload {
	case "version":
		fmt.Println(runtime.Version())
	case "yield":
		measureOps(yieldInTurn)
	case "ping_pong":
		measureOps(pingPong)
	case "spawn_join":
		measureOps(spawnAndJoin)
	case "skynet_channels":
		measureTree(sumOverChannels)
	case "skynet_joins":
		measureTree(sumOverJoins)
	case "mutex":
		measureOps(contend)
	case "mpmc":
		measureOps(manyToMany)
	case "parked":
		measureParked()
	case "timers":
		measureTimers()
	case "blocking_short":
		measureShortCalls()
	case "sleep":
		measureSleep()
	case "wake_latency":
		measureWakeLatency()
	default:
		fmt.Fprintln(os.Stderr, "unknown workload", *workload)
		os.Exit(3)
	}
}
