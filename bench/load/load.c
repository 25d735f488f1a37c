//go:build ignore

// The two ends of a measurement. send makes frames: it is an XDP program that
// the kernel runs over and over (BPF_F_TEST_XDP_LIVE_FRAMES), and what it writes
// into a page leaves by a NIC. receive, at tc ingress of another NIC, judges,
// counts and drops every frame before a socket or the IP stack sees it. Both
// know how package load builds frames (frame.go).

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_FLOWS 65536
#define MAX_SIZES 16
#define MAX_FRAME 9216
#define CHUNK 512 /* octets that are summed at a time */
#define FIRST 60  /* octets of a frame that have a meaning; a pattern follows */

#define NO_TIME 0 /* a frame that nobody times */

/* What comes first in every frame: Ethernet, IPv4 without options, enhanced
 * GRE with K and S (RFC 2637, section 4.1), PPP with MPPE's protocol. */
struct frame {
	__u8 to[6], from[6];
	__be16 type;
	__u8 version_length, service;
	__be16 total_length, id, fragment;
	__u8 ttl, protocol;
	__be16 checksum;
	__be32 source, destination;
	__be16 gre_flags, gre_protocol, gre_length, call_id;
	__be32 sequence;
	__be32 ppp;
	__be16 slot;
	__u8 time[8]; /* CLOCK_MONOTONIC when it was made, ns, in network order */
} __attribute__((packed));

/* One direction of a call, as it leaves the sender. */
struct flow {
	__be32 source, destination;
	__be16 call_id, slot;
	__u32 sum; /* of the IP header without its total length, not folded */
	__u32 sequence; /* of the last frame */
	__u32 unused;
};

/* One direction of a call, as it is expected at the receiver. */
struct record {
	__be32 source, destination;
	__be16 call_id;
	__u16 known; /* the fields above hold; 0: there is no such call */
	__u32 next;  /* sequence number that comes next */
	__u32 epoch; /* the trial in which next was set */
};

struct counts {
	__u64 received, octets;
	__u64 late;        /* behind a frame of its call that was sent later, or twice */
	__u64 gaps;        /* sequence numbers passed over; a late frame had one */
	__u64 bad_size;    /* another length than was sent, or than its headers say */
	__u64 bad_header;  /* a field or a checksum is not as it was sent */
	__u64 bad_address; /* addresses or call ID are not its call's */
	__u64 bad_payload; /* the octets behind the headers are not as they were sent */
	__u64 stray;       /* GRE that is none of the sender's */
	__u64 first_ns, last_ns; /* when the first came and the last one, or one of the 63 before it */
};

/* A logarithmic histogram: 32 steps to each doubling, from 0 ns on. */
#define STEP_BITS 5
#define STEPS (1 << STEP_BITS)
#define BUCKETS (40 * STEPS)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct flow);
} bench_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct record);
} bench_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} bench_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} bench_delays SEC(".maps");

/* A chunk of a frame, and room to make its length a multiple of four. */
struct scratch {
	__u8 octets[CHUNK + 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} bench_scratch SEC(".maps");

/* Both ends. */
volatile __u16 sizes[MAX_SIZES]; /* octets of frames, without the check sequence */
volatile __u16 payload_sums[MAX_SIZES]; /* of what is behind FIRST, folded */
volatile __u32 sizes_count;

/* The receiver. */
volatile __u32 epoch;      /* number of the trial */

/* The sender. It writes this all the time, from one CPU: the receiver, on another,
 * is not to wait for the cache line. */
struct pace {
	__u64 gap;      /* ns from frame to frame, times 1024; 0: as fast as possible */
	__u64 start;    /* when the first was due; 0: none was yet */
	__u64 lasting;  /* how long after that frames leave, ns */
	__u64 limit;    /* how many leave at most */
	__u64 sent, octets;
	__u64 slipped;  /* ns that frames were let out because the sender was late */
	__u32 nic;      /* ifindex that frames leave by */
	__u32 first, count; /* the flows whose turn it is, round and round */
	__u32 turn;
	__u32 timed;    /* frames bear the time */
	__u32 over;     /* there will be no more */
	__u64 until;    /* when the last leaves */
	__u64 padding[5];
};
volatile struct pace sender __attribute__((aligned(128)));

/* LATE is how far a sender may be behind before it lets frames out rather than
 * send them in a burst. */
#define LATE 1000000ULL

/* is_due tells whether it is time for another frame, and sets over when there
 * will be none. */
static __always_inline bool is_due(__u64 *now)
{
	/* Without a pace the clock is read now and then only. */
	if (!sender.gap && !sender.timed && (sender.sent & 63))
		return true;
	*now = bpf_ktime_get_ns();
	if (!sender.start) {
		sender.start = *now;
		sender.until = *now + sender.lasting;
	}
	if (*now >= sender.until) {
		sender.over = 1;
		return false;
	}
	__u64 due = sender.start + ((sender.sent * sender.gap) >> 10);
	if (*now < due)
		return false;
	if (sender.gap && *now > due + LATE) {
		sender.slipped += *now - due;
		sender.start += *now - due;
	}
	return true;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* size_of picks a frame's size by its number, so that the receiver knows it. */
static __always_inline __u32 size_index(__u32 sequence, __u16 slot)
{
	__u32 count = sizes_count;
	return count > 1 ? ((sequence + slot) % count) & (MAX_SIZES - 1) : 0;
}

static __always_inline void write_time(struct frame *f, __u64 now)
{
	__u64 value = bpf_cpu_to_be64(now);
	__builtin_memcpy(f->time, &value, sizeof(value));
}

SEC("xdp")
int bench_send(struct xdp_md *ctx)
{
	__u64 now = NO_TIME;
	if (sender.over || sender.sent >= sender.limit || !is_due(&now))
		return XDP_DROP;
	__u32 key = sender.first + sender.turn;
	struct flow *flow = bpf_map_lookup_elem(&bench_flows, &key);
	if (!flow)
		return XDP_ABORTED;
	__u32 sequence = ++flow->sequence;
	__u32 size = sizes[size_index(sequence, bpf_ntohs(flow->slot))];
	if (sizes_count > 1 && bpf_xdp_adjust_tail(ctx, (int)size - (int)bpf_xdp_get_buff_len(ctx)))
		return XDP_ABORTED;
	struct frame *f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	f->total_length = bpf_htons(size - 14);
	f->source = flow->source;
	f->destination = flow->destination;
	f->checksum = ~fold(flow->sum + f->total_length);
	f->gre_length = bpf_htons(size - 46);
	f->call_id = flow->call_id;
	f->sequence = bpf_htonl(sequence);
	f->slot = flow->slot;
	write_time(f, sender.timed ? now : NO_TIME);
	sender.turn = sender.turn + 1 < sender.count ? sender.turn + 1 : 0;
	sender.sent++;
	sender.octets += size;
	return bpf_redirect(sender.nic, 0);
}

/* sum_words adds up 16-bit words, without folding. */
static __always_inline __u32 sum_header(const struct frame *f)
{
	const __u16 *word = (const void *)&f->version_length;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return sum;
}

static __always_inline bool header_is_good(const struct frame *f, __u32 len)
{
	return f->version_length == 0x45 && f->service == 0 && f->id == 0 && f->fragment == bpf_htons(0x4000) &&
	       f->ttl == 64 && fold(sum_header(f)) == 0xffff && f->gre_flags == bpf_htons(0x3001) &&
	       f->gre_protocol == bpf_htons(0x880b) && f->gre_length == bpf_htons(len - 46) && f->ppp == bpf_htonl(0xff0300fd);
}

/* payload_is_good sums what is behind the headers. The Internet checksum finds
 * every changed bit, and all that was lost, but not what changed its place. */
static __always_inline bool payload_is_good(struct __sk_buff *skb, __u32 len, __u16 want)
{
	__u32 zero = 0, whole = (len - FIRST) / CHUNK, rest = (len - FIRST) % CHUNK;
	struct scratch *s = bpf_map_lookup_elem(&bench_scratch, &zero);
	__s64 sum = 0;
	if (!s)
		return false;
	for (__u32 i = 0; i < MAX_FRAME / CHUNK && i < whole; i++) {
		if (bpf_skb_load_bytes(skb, FIRST + i * CHUNK, s->octets, CHUNK))
			return false;
		sum = bpf_csum_diff(0, 0, (__be32 *)s->octets, CHUNK, sum);
	}
	if (rest) {
		if (bpf_skb_load_bytes(skb, FIRST + whole * CHUNK, s->octets, rest))
			return false;
		__builtin_memset(&s->octets[rest], 0, 4); /* bpf_csum_diff takes words */
		sum = bpf_csum_diff(0, 0, (__be32 *)s->octets, (rest + 3) & ~3, sum);
	}
	return fold(sum) == want;
}

/* call_is_good compares addresses and call ID with the call's. */
static __always_inline bool call_is_good(const struct frame *f, const struct record *r)
{
	return r->known && r->source == f->source && r->destination == f->destination && r->call_id == f->call_id;
}

static __always_inline void check_order(const struct frame *f, struct record *r, struct counts *c)
{
	__u32 sequence = bpf_ntohl(f->sequence);
	__s32 ahead = sequence - r->next;
	if (r->epoch == epoch && ahead < 0) {
		c->late++;
		return;
	}
	if (r->epoch == epoch)
		c->gaps += ahead;
	r->epoch = epoch;
	r->next = sequence + 1;
}

/* bucket_of rounds a time down to one of the histogram's steps. */
static __always_inline __u32 bucket_of(__u64 ns)
{
	if (ns < STEPS)
		return ns;
	__u32 exponent = 0;
	__u64 rest = ns >> STEP_BITS;
#pragma unroll
	for (int bits = 32; bits > 0; bits /= 2) {
		if (rest >> bits) {
			rest >>= bits;
			exponent += bits;
		}
	}
	__u32 bucket = (exponent + 1) * STEPS + ((ns >> exponent) & (STEPS - 1));
	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static __always_inline __u64 time_of(const struct frame *f)
{
	__u64 time;
	__builtin_memcpy(&time, f->time, sizeof(time));
	return bpf_be64_to_cpu(time);
}

static __always_inline void note_delay(__u64 then, __u64 now)
{
	__u32 bucket = bucket_of(now > then ? now - then : 0);
	__u64 *count = bpf_map_lookup_elem(&bench_delays, &bucket);
	if (count)
		++*count;
}

static __always_inline void judge(struct __sk_buff *skb, struct frame *f, struct counts *c)
{
	__u32 key = bpf_ntohs(f->slot), len = skb->len;
	struct record *r = bpf_map_lookup_elem(&bench_records, &key);
	__u32 size = size_index(bpf_ntohl(f->sequence), key);
	if (!r)
		return;
	if (len != sizes[size] || len != bpf_ntohs(f->total_length) + 14)
		c->bad_size++;
	else if (!header_is_good(f, len))
		c->bad_header++;
	else if (!call_is_good(f, r))
		c->bad_address++;
	else if (len > FIRST && !payload_is_good(skb, len, payload_sums[size]))
		c->bad_payload++;
	check_order(f, r, c);
}

SEC("tcx/ingress")
int bench_receive(struct __sk_buff *skb)
{
	struct frame *f = (void *)(long)skb->data;
	if ((void *)(f + 1) > (void *)(long)skb->data_end || f->type != bpf_htons(ETH_P_IP) || f->protocol != 47)
		return TC_ACT_UNSPEC;
	__u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&bench_counts, &zero);
	if (!c)
		return TC_ACT_SHOT;
	if (f->ppp != bpf_htonl(0xff0300fd) || f->gre_protocol != bpf_htons(0x880b)) {
		c->stray++;
		return TC_ACT_SHOT;
	}
	/* Of frames that nobody times, the clock is read for the first and then for every
	 * 64th: a device in user space, whose CPU this is, was 4 % slower by it. */
	__u64 then = time_of(f);
	if (then != NO_TIME || !(c->received & 63)) {
		__u64 now = bpf_ktime_get_ns();
		if (!c->received)
			c->first_ns = now;
		c->last_ns = now;
		if (then != NO_TIME)
			note_delay(then, now);
	}
	c->received++;
	c->octets += skb->len;
	judge(skb, f, c);
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Apache-2.0";
