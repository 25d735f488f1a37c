//go:build ignore

// The program of a PACKET_FANOUT_EBPF group (packet(7)). It says which of the
// group's sockets gets a frame; the kernel takes that modulo their number. It
// runs where packet_rcv_fanout() does: behind the Ethernet header, with what
// that header says in skb->protocol. The outermost VLAN tag is in the metadata
// then, and so out of the way, unless its TPID is one that the kernel does not
// know.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_OLD_QINQ 0x9100
#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057
#define MOST_HEADERS 8 /* before the network layer: tags, SNAP */
#define THE_REST 0     /* the queue of all that has no pair of addresses */

static __always_inline bool load(const struct __sk_buff *skb, __u32 at, void *to, __u32 len)
{
	return bpf_skb_load_bytes(skb, at, to, len) == 0;
}

/* mix is the finalizer of MurmurHash3: every bit of the pair counts. */
static __always_inline __u32 mix(__u64 pair)
{
	pair = (pair ^ pair >> 33) * 0xff51afd7ed558ccdULL;
	pair = (pair ^ pair >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return pair >> 32;
}

/* The sum of two addresses is the same in both directions. */

static __always_inline __u32 ipv4(const struct __sk_buff *skb, __u32 at)
{
	__u32 pair[2];
	if (!load(skb, at + 12, pair, sizeof(pair)))
		return THE_REST;
	return mix((__u64)bpf_ntohl(pair[0]) + bpf_ntohl(pair[1]));
}

static __always_inline __u32 ipv6(const struct __sk_buff *skb, __u32 at)
{
	__u64 pair[4];
	if (!load(skb, at + 8, pair, sizeof(pair)))
		return THE_REST;
	__u64 high = pair[0] + pair[2], low = pair[1] + pair[3];
	return mix(high * 0x9e3779b97f4a7c15ULL + low);
}

static __always_inline bool is_vlan(__u16 ether)
{
	return ether == ETH_P_8021Q || ether == ETH_P_8021AD || ether == ETH_P_OLD_QINQ;
}

/* pppoe reads a session frame: Address and Control are taken off, and the
 * protocol number may be compressed to one octet, as track/wire has it. */
static __always_inline __u32 pppoe(const struct __sk_buff *skb, __u32 at)
{
	__u8 head[2];
	at += 6;
	if (!load(skb, at, head, sizeof(head)))
		return THE_REST;
	if (head[0] == 0xff && head[1] == 0x03) {
		at += 2;
		if (!load(skb, at, head, sizeof(head)))
			return THE_REST;
	}
	__u16 protocol = head[0];
	at++;
	if (!(protocol & 1)) {
		protocol = protocol << 8 | head[1];
		at++;
	}
	if (protocol == PPP_IPV4)
		return ipv4(skb, at);
	if (protocol == PPP_IPV6)
		return ipv6(skb, at);
	return THE_REST;
}

/* under reads the header that an ethertype announces, if another ethertype
 * stands in it: that of a VLAN tag, or LLC and SNAP behind a length. */
static __always_inline bool under(const struct __sk_buff *skb, __u32 *at, __u16 *ether)
{
	__be16 words[4];
	if (is_vlan(*ether)) {
		if (!load(skb, *at, words, 4))
			return false;
		*ether = bpf_ntohs(words[1]);
		*at += 4;
		return true;
	}
	if (*ether >= ETH_P_802_3_MIN || !load(skb, *at, words, 8))
		return false;
	if (words[0] != bpf_htons(0xaaaa) || words[1] != bpf_htons(0x0300) ||
	    (words[2] != 0 && words[2] != bpf_htons(0x00f8)))
		return false;
	*ether = bpf_ntohs(words[3]);
	*at += 8;
	return true;
}

SEC("socket")
int grewire_queue(struct __sk_buff *skb)
{
	__u16 ether = bpf_ntohs((__u16)skb->protocol);
	__u32 at = 0;
	for (int i = 0; i < MOST_HEADERS; i++)
		if (!under(skb, &at, &ether))
			break;
	switch (ether) {
	case ETH_P_IP:
		return ipv4(skb, at);
	case ETH_P_IPV6:
		return ipv6(skb, at);
	case ETH_P_PPP_SES:
		return pppoe(skb, at);
	}
	return THE_REST;
}

char _license[] SEC("license") = "Apache-2.0";
