// Package flow holds what every table of the box is made of: the identity of
// a flow (Key), the side of the box it is seen from (Side), the box's clock
// (Time), and a lock-sharded, pointer-free hash table (Table) with a fixed
// memory budget and paced expiry.
package flow
