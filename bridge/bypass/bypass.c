//go:build ignore

// The tc programs of a box's two NICs. A packet socket gets its copy of a frame
// before tc ingress does (__netif_receive_skb_core), so the ingress program
// decides about the host's copy alone: it is dropped, or goes straight to the
// other NIC. The egress program lets out what crosses, and keeps a worker that
// comes too late from sending.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define STALE_NS 100000000LL /* without a beat for so long, a worker is missing */
#define LATE_NS 90000000LL   /* and before it is, it may send no more */

#define SENT_BY_BOX 0x67726577 /* SO_MARK of the box's sockets: bridge.SocketMark */

enum { LAN, WAN, SIDES };

/*
 * What the programs share with the workers and with whoever asks. It is found
 * again by the name of its map: another layout needs another name.
 */

/* One direction: frames that come in by a side. Times are bpf_ktime_get_ns(). */
struct side {
	__u64 beat;     /* when all workers had moved last; 0: there is none */
	__u64 released; /* when the last worker went */
	__u32 peer;     /* ifindex of the other NIC; 0: there is none */
	__u32 nic;      /* ifindex of this NIC */
	__u32 promisc;  /* IFF_PROMISC was set on it, and was not set before */
	__u32 unused;
	__u64 padding[4]; /* a cache line for each worker */
};

struct state {
	__u64 forced;   /* since when somebody wants a bypass; 0: nobody does */
	__u64 ended;    /* when frames last ceased to be let past without a worker's doing */
	__u32 open;     /* frames go past the box while a worker is missing */
	__u32 unused;
	__u64 padding[5];
	struct side sides[SIDES];
};

/* What became of the host's copies on one CPU. */
struct count {
	__u64 redirected;
	__u64 redirected_octets;
	__u64 dropped;
	__u64 dropped_octets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} grewire_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SIDES);
	__type(key, __u32);
	__type(value, struct count);
} grewire_counts SEC(".maps");

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))

/* silent tells whether a worker has not beaten for so long, and that matters. */
static __always_inline bool silent(const struct state *state, const struct side *side, __s64 ns)
{
	if (!READ_ONCE(state->forced) && !READ_ONCE(state->open))
		return false;
	/* Signed: another CPU may have beaten just now. */
	return (__s64)(bpf_ktime_get_ns() - READ_ONCE(side->beat)) > ns;
}

static __always_inline int decide(struct __sk_buff *skb, __u32 in)
{
	__u32 zero = 0, key = in;
	struct state *state = bpf_map_lookup_elem(&grewire_state, &zero);
	struct count *count = bpf_map_lookup_elem(&grewire_counts, &key);
	if (!state || !count)
		return TC_ACT_SHOT;
	struct side *side = &state->sides[in];
	__u32 peer = silent(state, side, STALE_NS) ? READ_ONCE(side->peer) : 0;
	/* MAC control concerns one link only (IEEE 802.3, annex 31B). */
	if (!peer || skb->protocol == bpf_htons(ETH_P_PAUSE)) {
		count->dropped++;
		count->dropped_octets += skb->len;
		return TC_ACT_SHOT;
	}
	count->redirected++;
	count->redirected_octets += skb->len;
	return bpf_redirect(peer, 0);
}

SEC("tcx/ingress")
int grewire_lan(struct __sk_buff *skb)
{
	return decide(skb, LAN);
}

SEC("tcx/ingress")
int grewire_wan(struct __sk_buff *skb)
{
	return decide(skb, WAN);
}

/*
 * leave lets out what came in by the other side: what the ingress program
 * redirected, which still has its ingress NIC, and what the worker sends. The
 * host's own (router solicitations, MLD, whatever it routes here) has no mark.
 * Of the worker's it drops what was stopped between its last look at the clock
 * and here: later frames may have gone past it.
 */
static __always_inline int leave(struct __sk_buff *skb, __u32 in)
{
	__u32 zero = 0;
	struct state *state = bpf_map_lookup_elem(&grewire_state, &zero);
	if (!state)
		return TC_ACT_SHOT;
	struct side *side = &state->sides[in];
	/* No program behind this one runs: it could be that of a dead box. */
	if (skb->ingress_ifindex)
		return skb->ingress_ifindex == READ_ONCE(side->nic) ? TC_ACT_OK : TC_ACT_SHOT;
	return skb->mark == SENT_BY_BOX && !silent(state, side, LATE_NS) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tcx/egress")
int grewire_to_lan(struct __sk_buff *skb)
{
	return leave(skb, WAN);
}

SEC("tcx/egress")
int grewire_to_wan(struct __sk_buff *skb)
{
	return leave(skb, LAN);
}

/*
 * grewire_clock tells the time by which the other programs go: in a time
 * namespace (time_namespaces(7)) CLOCK_MONOTONIC is another. It is run by
 * BPF_PROG_TEST_RUN, and is attached nowhere.
 */
SEC("tc")
int grewire_clock(struct __sk_buff *skb)
{
	*(__u64 *)skb->cb = bpf_ktime_get_ns();
	return 0;
}

char _license[] SEC("license") = "Apache-2.0";
