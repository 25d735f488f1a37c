package afpacket

import (
	"reflect"
	"testing"
)

// TestStatsPlus: a counter that is added to Stats is added by Plus.
func TestStatsPlus(t *testing.T) {
	var a, b Stats
	for i := range reflect.TypeFor[Stats]().NumField() {
		reflect.ValueOf(&a).Elem().Field(i).SetUint(uint64(i + 1))
		reflect.ValueOf(&b).Elem().Field(i).SetUint(100)
	}
	sum := reflect.ValueOf(a.Plus(b))
	for i := range sum.NumField() {
		if got := sum.Field(i).Uint(); got != uint64(i+101) {
			t.Errorf("%s is %d, want %d", sum.Type().Field(i).Name, got, i+101)
		}
	}
}
