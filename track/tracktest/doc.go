// Package tracktest plays PPTP hosts against a tracker.
//
// A World owns a track.Tracker, its two Lanes and the clock. Hosts stand on
// its sides; they open control connections, agree calls and send GRE, and
// every frame they send goes through the tracker and comes back as a Result:
//
//	w := tracktest.New(t)
//	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
//	if r := call.GRE(w.Client); !r.Passed() { … }
//
// Whatever a test is about, the World checks after every frame what must hold
// for all of them: one final verdict each, with a reason that fits it; bytes
// forwarded as they came; no table beyond its limit.
//
// Nothing here is random and nothing waits: time passes by World.Advance only.
package tracktest
