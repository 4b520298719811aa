// SPDX-License-Identifier: Apache-2.0

// Go's CPU profiler on the work that curg's is measured on (../../../profiler_peers.cc, which builds
// and runs this and reads what it prints: "accounted", and "overhead" in percent).
//
//	go THREADS RATE PAIRS
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func cpu() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// start profiles at that rate; the runtime complains on standard error that somebody else set it.
func start(rate int, w io.Writer) {
	runtime.SetCPUProfileRate(rate)
	pprof.StartCPUProfile(w)
}

func varint(data []byte) (uint64, []byte) {
	var value uint64
	for i, b := range data {
		value |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return value, data[i+1:]
		}
	}
	return 0, nil
}

// fields calls visit with every field of a protocol buffer message: a number, or bytes.
func fields(data []byte, visit func(field, number uint64, content []byte)) {
	for len(data) > 0 {
		var key, number uint64
		key, data = varint(data)
		number, data = varint(data)
		if key&7 == 2 {
			visit(key>>3, 0, data[:number])
			data = data[number:]
		} else {
			visit(key>>3, number, nil)
		}
	}
}

// credited sums the second value (nanoseconds) of every sample.
func credited(profile *bytes.Buffer) time.Duration {
	unzipped, err := gzip.NewReader(profile)
	if err != nil {
		return 0
	}
	data, _ := io.ReadAll(unzipped)
	var sum uint64
	fields(data, func(field, _ uint64, sample []byte) {
		if field != 2 {
			return
		}
		var last uint64 // two values, which Go does not pack
		fields(sample, func(field, value uint64, _ []byte) {
			if field == 2 {
				last = value
			}
		})
		sum += last
	})
	return time.Duration(sum)
}

func accounted(threads, rate int) float64 {
	var profile bytes.Buffer
	start(rate, &profile)
	before := cpu()
	var group sync.WaitGroup
	for i := 0; i < threads; i++ {
		group.Add(1)
		go func() {
			runtime.LockOSThread()
			defer group.Done()
			sink := uint64(1)
			var usage syscall.Rusage
			for usage.Utime.Nano()+usage.Stime.Nano() < 1_500_000_000 {
				for n := 0; n < 2_000_000; n++ {
					sink = sink*3 + 1
				}
				syscall.Getrusage(1 /* RUSAGE_THREAD */, &usage)
			}
			runtime.KeepAlive(sink)
		}()
	}
	group.Wait()
	used := cpu() - before
	pprof.StopCPUProfile()
	return float64(credited(&profile)) / float64(used)
}

const size = 512
const block = 64

func product(a, b, c []float64) {
	for i0 := 0; i0 < size; i0 += block {
		for k0 := 0; k0 < size; k0 += block {
			for j0 := 0; j0 < size; j0 += block {
				for i := i0; i < i0+block; i++ {
					for k := k0; k < k0+block; k++ {
						x := a[i*size+k]
						row := b[k*size+j0 : k*size+j0+block]
						sum := c[i*size+j0 : i*size+j0+block]
						for j := range row {
							sum[j] += x * row[j]
						}
					}
				}
			}
		}
	}
}

func overheadPercent(rate, pairs int) float64 {
	a := make([]float64, size*size)
	b := make([]float64, size*size)
	c := make([]float64, size*size)
	var ratios []float64
	for i := 0; i < pairs; i++ {
		var times [2]time.Duration
		for n := 0; n < 2; n++ {
			on := (i + n) % 2
			if on == 1 {
				start(rate, io.Discard)
			}
			before := cpu()
			product(a, b, c)
			times[on] = cpu() - before
			if on == 1 {
				pprof.StopCPUProfile()
			}
		}
		ratios = append(ratios, float64(times[1])/float64(times[0]))
	}
	sort.Float64s(ratios)
	return 100 * (ratios[pairs/2] - 1)
}

func main() {
	if len(os.Args) != 4 {
		os.Exit(2)
	}
	threads, _ := strconv.Atoi(os.Args[1])
	rate, _ := strconv.Atoi(os.Args[2])
	pairs, _ := strconv.Atoi(os.Args[3])
	fmt.Printf("accounted %.6f\n", accounted(threads, rate))
	fmt.Printf("overhead %.6f\n", overheadPercent(rate, pairs))
}
