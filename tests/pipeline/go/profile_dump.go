// SPDX-License-Identifier: Apache-2.0

// Profile_dump reads a pprof file with Go's own package and prints all that is in it, one fact a line.
// With an argument it also writes the profile there, as Go would.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"

	"github.com/google/pprof/profile"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	p, err := profile.Parse(os.Stdin)
	fail(err)
	fail(p.CheckValid())
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, t := range p.SampleType {
		fmt.Fprintf(out, "type %q %q\n", t.Type, t.Unit)
	}
	fmt.Fprintf(out, "default %q\n", p.DefaultSampleType)
	fmt.Fprintf(out, "period %q %q %d\n", p.PeriodType.Type, p.PeriodType.Unit, p.Period)
	fmt.Fprintf(out, "time %d %d\n", p.TimeNanos, p.DurationNanos)
	fmt.Fprintf(out, "frames %q %q\n", p.DropFrames, p.KeepFrames)
	for _, c := range p.Comments {
		fmt.Fprintf(out, "comment %q\n", c)
	}
	for _, m := range p.Mapping {
		fmt.Fprintf(out, "mapping %x %x %x %q %q %t\n", m.Start, m.Limit, m.Offset, m.File, m.BuildID, m.HasFunctions)
	}
	for _, s := range p.Sample {
		fmt.Fprintf(out, "sample %v\n", s.Value)
		for _, l := range s.Location {
			fmt.Fprintf(out, " at %x\n", l.Address)
			for _, line := range l.Line {
				f := line.Function
				fmt.Fprintf(out, "  %q %q %q %d %d\n", f.Name, f.SystemName, f.Filename, f.StartLine, line.Line)
			}
		}
		var labels []string
		for key, values := range s.Label {
			for _, value := range values {
				labels = append(labels, fmt.Sprintf(" label %q %q", key, value))
			}
		}
		for key, values := range s.NumLabel {
			for i, value := range values {
				unit := ""
				if units := s.NumUnit[key]; len(units) > i {
					unit = units[i]
				}
				labels = append(labels, fmt.Sprintf(" number %q %d %q", key, value, unit))
			}
		}
		sort.Strings(labels)
		for _, label := range labels {
			fmt.Fprintln(out, label)
		}
	}
	if len(os.Args) > 1 {
		file, err := os.Create(os.Args[1])
		fail(err)
		fail(p.Write(file))
		fail(file.Close())
	}
}
