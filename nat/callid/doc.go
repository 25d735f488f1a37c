// Package callid gives out the call IDs that the WAN sees. The GRE of a call
// is known by its addresses and its call ID alone (RFC 2637, section 4.1), so
// no two calls between one address of the WAN side's view and one WAN peer may
// have the same: each such Pair has a pool of its own.
//
// A call keeps the ID that its host chose, if nobody has it. Otherwise it gets
// any free one, drawn from the whole pool: who forges GRE and does not see the
// calls has all IDs to guess, not just the rest of those close to an ID that he
// knows, and an ID is seldom used again soon. To draw from the parts of a pool
// that exist already would save memory, some 100 octets per ID in pools of ten.
//
// An ID that is put back rests for a while, so that stragglers of the old call
// do not turn up in a new one. Nobody gets it meanwhile, not even its last
// owner: whose stragglers they are cannot be told.
//
// Each host's IDs are counted, so that one may be kept from taking all. Of IDs whose
// call was never agreed (Agree) it has a sixteenth of what a pool has, and of the
// limit, all pools together and those that rest included: who asks in vain for more
// is refused alone. An ID that the peer has never heard of need not rest.
//
// Memory follows use, and its bound is set by the limit of IDs. A pool is a
// tree of what is in use, and vanishes with its last ID: with one ID it takes
// about 250 octets, full 20 KiB. What vanished pools leave is used by others
// before there is more. An ID that rests takes 24 octets. The index and
// the hosts' counts alone are set aside at once: 90 to 160 octets for each ID of
// the limit, which the kernel backs when they are first used.
package callid
