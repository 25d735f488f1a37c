package dut

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bench/control"
)

// helper makes a bridge, has bridged IPv4 pass nftables, attaches the PPTP helper
// to control connections and lets through only them and what conntrack knows:
//
//	table ip bench {
//		ct helper pptp { type "pptp" protocol tcp }
//		chain prerouting { type filter hook prerouting priority mangle
//			tcp dport 1723 ct helper set "pptp" }
//		chain forward { type filter hook forward priority filter; policy drop
//			ct state established,related accept
//			tcp dport 1723 accept }
//	}
func (s *Site) helper() error {
	if err := s.bridge(); err != nil {
		return err
	}
	if err := s.top.Box.Sysctl("net.bridge.bridge-nf-call-iptables", "1"); err != nil {
		return fmt.Errorf("bridged frames do not pass netfilter (modprobe br_netfilter): %w", err)
	}
	if err := s.keepCalls(); err != nil {
		return err
	}
	err := s.top.Box.Do(func() error {
		nft, err := nftables.New()
		if err != nil {
			return err
		}
		helperRules(nft)
		return nft.Flush()
	})
	if err != nil {
		return fmt.Errorf("nftables rules (modprobe nf_tables nft_ct nf_conntrack_pptp): %w", err)
	}
	return nil
}

// forgetAfter is for how long conntrack keeps a call without GRE, in seconds.
const forgetAfter = "86400"

// keepCalls has conntrack keep all calls. Else those without traffic would be gone
// from its list 30 s after they were set up, and the call that the helper finds last
// would be found at once.
func (s *Site) keepCalls() error {
	for _, key := range []string{"nf_conntrack_gre_timeout", "nf_conntrack_gre_timeout_stream"} {
		if err := s.top.Box.Sysctl("net.netfilter."+key, forgetAfter); err != nil {
			return fmt.Errorf("conntrack does not follow GRE (modprobe nf_conntrack_pptp): %w", err)
		}
	}
	return nil
}

const helperName = "pptp"

func helperRules(nft *nftables.Conn) {
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bench"})
	nft.AddObj(&nftables.NamedObj{
		Table: table, Name: helperName, Type: nftables.ObjTypeCtHelper,
		Obj: &expr.CtHelper{Name: helperName, L3Proto: unix.NFPROTO_IPV4, L4Proto: unix.IPPROTO_TCP},
	})
	prerouting := nft.AddChain(&nftables.Chain{
		Table: table, Name: "prerouting", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
	})
	set := &expr.Objref{Type: unix.NFT_OBJECT_CT_HELPER, Name: helperName}
	nft.AddRule(&nftables.Rule{Table: table, Chain: prerouting, Exprs: append(toServer(), set)})
	drop := nftables.ChainPolicyDrop
	forward := nft.AddChain(&nftables.Chain{
		Table: table, Name: "forward", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	nft.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: append(known(), accept)})
	nft.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: append(toServer(), accept)})
}

// toServer matches "tcp dport 1723".
func toServer() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, control.Port)},
	}
}

// known matches "ct state established,related".
func known() []expr.Any {
	states := binary.NativeEndian.AppendUint32(nil, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}
