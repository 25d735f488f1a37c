package links

import (
	"errors"

	"github.com/grewire/grewire/bridge/nic"
)

// System is what a Keeper wants from the kernel. NewSystem returns the real
// one.
type System interface {
	// Enter makes the calling goroutine one that opens sockets where the
	// NICs are.
	Enter() error
	// Watch begins to tell of changes.
	Watch() (Watch, error)
	// ByName and ByIndex return the zero State of a NIC that does not exist.
	ByName(name string) (nic.State, error)
	ByIndex(index int) (nic.State, error)
	// TakeDown, BringUp and Unmark are those of nic.Links.
	TakeDown(index int) error
	BringUp(index int) error
	Unmark(index int) error
	// Inspect looks at all there is to a NIC.
	Inspect(name string) (nic.NIC, error)
	// Claim keeps a NIC from other boxes until it is released.
	Claim(name string) (release func() error, err error)
	// Features are those of nic.Features.
	Features() nic.Features
	Close() error
}

// Watch is a nic.Watch.
type Watch interface {
	Changes() <-chan nic.Change
	Stop()
}

type kernel struct {
	*nic.Links
	namespace *nic.Namespace
	features  nic.Features
}

// NewSystem returns the System of the calling thread's network namespace. It
// works from other threads as well.
func NewSystem() (System, error) {
	namespace, err := nic.CurrentNamespace()
	if err != nil {
		return nil, err
	}
	links, err := nic.NewLinks()
	if err != nil {
		return nil, errors.Join(err, namespace.Close())
	}
	features, err := nic.NewFeatures()
	if err != nil {
		return nil, errors.Join(err, links.Close(), namespace.Close())
	}
	return &kernel{links, namespace, features}, nil
}

func (k *kernel) Enter() error                         { return k.namespace.Enter() }
func (k *kernel) Inspect(name string) (nic.NIC, error) { return nic.Inspect(name) }
func (k *kernel) Features() nic.Features               { return k.features }

func (k *kernel) Watch() (Watch, error) {
	watch, err := nic.NewWatch()
	if err != nil {
		return nil, err // and no Watch around a nil pointer
	}
	return watch, nil
}

func (k *kernel) Claim(name string) (func() error, error) {
	claim, err := nic.Take(name)
	if err != nil {
		return nil, err
	}
	return claim.Release, nil
}

func (k *kernel) Close() error {
	return errors.Join(k.Links.Close(), k.features.Close(), k.namespace.Close())
}
