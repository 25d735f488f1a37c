// Package status is the control socket: what the running box tells the other
// commands, as HTTP and JSON over a Unix socket that only root and its group
// may open.
//
//	GET /calls          an array of track.Call
//	GET /expectations   an array of track.Expectation
//	GET /stats          the counters
//	GET /events         track.Event, one JSON object a line, as they happen
//	GET /version        which program answers
//	POST PATH           one of Options.Actions; status 409 if it was refused
//
// What users may have at a time is shared out (places.go): none of them can keep
// another, nor root, from asking. A request that is not there in time ends its
// connection, and so does a reader that takes too little.
//
// A request that is none of these gets {"error": "..."} with status 404, 405
// or 400; one too many at a time gets it with status 503.
package status
