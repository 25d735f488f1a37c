package nic

import (
	"strings"
	"testing"
)

func TestTake(t *testing.T) {
	const loopback = 1 // ifindex of lo
	if Taken(loopback) {
		t.Error("taken before anybody did")
	}
	first, err := Take("lo")
	if err != nil {
		t.Fatal(err)
	}
	if !Taken(loopback) {
		t.Error("not taken after a claim")
	}
	if _, err := Take("lo"); err == nil || !strings.Contains(err.Error(), "another grewire") {
		t.Errorf("a second claim: %v, want that another grewire has it", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if Taken(loopback) {
		t.Error("taken after the release")
	}
	again, err := Take("lo")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again.Release()
	if _, err := Take("none-such"); err == nil {
		t.Error("a NIC that does not exist can be claimed")
	}
}
