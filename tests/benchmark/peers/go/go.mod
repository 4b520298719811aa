module curg/tests/benchmark/peers/go

go 1.19
