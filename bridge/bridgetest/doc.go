// Package bridgetest has what tests, benchmarks and demonstrations of the box
// need around it: ports in memory, which need no privilege, and a laboratory
// of network namespaces with real NICs (veth pairs) and real PPTP programs
// (pptpd and pptp), which needs root.
//
// # Ports in memory
//
// A Port is a bridge.Port. A test injects frames and reads what was sent:
//
//	lan, wan := bridgetest.NewPort(), bridgetest.NewPort()
//	// start the box between them
//	lan.Inject(frame)
//	sent, err := wan.WaitSent(ctx, 1)
//
// # The laboratory
//
// A Lab owns namespaces, veth pairs, captures and processes, and takes all of
// them away when it is closed, also after a failure. New is for tests, Open
// for programs. Namespaces are named (grewire-PID-N-NAME in /run/netns), so
// "ip netns exec" reaches them while the lab is open; those of a lab whose
// process has died are swept when the next one opens. Nothing a lab does
// leaves its own namespaces.
//
//	lab := bridgetest.New(t)
//	top, err := bridgetest.Inline(lab) // client -- box -- server
//	server, err := bridgetest.StartServer(top.Server)
//	client, err := bridgetest.Dial(top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{Pings: 10})
//	up, err := client.Ready(ctx)
//	result, err := client.Hangup(ctx)
package bridgetest
