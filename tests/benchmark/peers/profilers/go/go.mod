module curg/tests/benchmark/peers/profilers/go

go 1.19
