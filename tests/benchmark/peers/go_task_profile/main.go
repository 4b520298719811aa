// SPDX-License-Identifier: Apache-2.0

// The same parked goroutines as task_profile_curg.cc has tasks, profiled by Go.
package main

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"sort"
	"sync/atomic"
	"time"
)

var (
	tasks   = flag.Int("tasks", 100000, "parked goroutines")
	rounds  = flag.Int("rounds", 3, "times each measurement is made; the median counts")
	text    = flag.Bool("text", true, "also the text of each goroutine, which takes long")
	ready   atomic.Int64
	forever = make(chan int)
)

// Ten frames, each a function of its own.

//go:noinline
func f1() { ready.Add(1); <-forever }

//go:noinline
func f2() { f1(); runtime.KeepAlive(&ready) }

//go:noinline
func f3() { f2(); runtime.KeepAlive(&ready) }

//go:noinline
func f4() { f3(); runtime.KeepAlive(&ready) }

//go:noinline
func f5() { f4(); runtime.KeepAlive(&ready) }

//go:noinline
func f6() { f5(); runtime.KeepAlive(&ready) }

//go:noinline
func f7() { f6(); runtime.KeepAlive(&ready) }

//go:noinline
func f8() { f7(); runtime.KeepAlive(&ready) }

func show(name string, value float64, unit string) {
	fmt.Printf("{\"name\":%q,\"value\":%g,\"unit\":%q}\n", name, value, unit)
}

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

// The longest time between two looks at the clock of a goroutine that does nothing else.
func tick(stop *atomic.Bool, longest *atomic.Int64) {
	last := time.Now()
	for !stop.Load() {
		now := time.Now()
		if gap := int64(now.Sub(last)); gap > longest.Load() {
			longest.Store(gap)
		}
		last = now
	}
}

func measure(name string, rounds int, run func()) {
	var times, stalls []float64
	for i := 0; i < rounds; i++ {
		var stop atomic.Bool
		var longest atomic.Int64
		done := make(chan bool)
		go func() { tick(&stop, &longest); done <- true }()
		time.Sleep(20 * time.Millisecond)
		longest.Store(0)
		start := time.Now()
		run()
		times = append(times, float64(time.Since(start)))
		stop.Store(true)
		<-done
		stalls = append(stalls, float64(longest.Load()))
	}
	show(name, median(times)/float64(*tasks), "ns/task")
	show(name+" stall", median(stalls)/1e6, "ms")
}

func main() {
	flag.Parse()
	for i := 0; i < *tasks; i++ {
		go f8()
	}
	for ready.Load() < int64(*tasks) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	profile := pprof.Lookup("goroutine")
	measure("no dump", *rounds, func() {
		for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
		}
	})
	measure("pprof", *rounds, func() { profile.WriteTo(io.Discard, 0) })
	measure("grouped text", *rounds, func() { profile.WriteTo(io.Discard, 1) })
	if *text {
		measure("text", 1, func() { profile.WriteTo(io.Discard, 2) })
	}
	show("version "+runtime.Version(), 0, "")
}
