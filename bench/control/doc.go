// Package control has the two ends of PPTP's control connection (RFC 2637) that
// a measurement needs: a Server that agrees to every call, and a Client that asks
// for calls, over the kernel's own TCP. No call has an end that speaks PPP.
package control
