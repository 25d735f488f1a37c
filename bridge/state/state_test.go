package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// sample is the state of a box with two calls.
func sample(t testing.TB) *Contents {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.OutCall(1, 11).Both()
	c.InCall(2, 12)
	w.Connect(w.Client, w.Server)
	return &Contents{Identity: Identity{"lan", "wan0123456789ab"}, Written: Now(), Saved: *w.Save()}
}

func encoded(t testing.TB, c *Contents) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for name, c := range map[string]*Contents{"full": sample(t), "empty": {Saved: track.Saved{Connections: []track.SavedConnection{}, Calls: []track.SavedCall{}}}} {
		b := encoded(t, c)
		got, err := Decode(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// layoutOf3 is a digest of the names and types of all that version 3 writes.
const layoutOf3 = 0x226227e8cd45dec3

// TestLayout: who changes what is written must raise the version.
func TestLayout(t *testing.T) {
	var layout strings.Builder
	for _, of := range []reflect.Type{reflect.TypeFor[header](), reflect.TypeFor[track.SavedConnection](), reflect.TypeFor[track.SavedCall]()} {
		describe(&layout, of)
	}
	sum := sha256.Sum256([]byte(layout.String()))
	if got := binary.BigEndian.Uint64(sum[:]); version != 3 || got != layoutOf3 {
		t.Errorf("version %d, layout %#x, want %#x for version 3: raise the version and note its layout here; it is now\n%s", version, got, uint64(layoutOf3), layout.String())
	}
}

func describe(to *strings.Builder, of reflect.Type) {
	switch of.Kind() {
	case reflect.Struct:
		for i := range of.NumField() {
			to.WriteString(of.Field(i).Name + " ")
			describe(to, of.Field(i).Type)
		}
	case reflect.Array:
		to.WriteString("array ")
		describe(to, of.Elem())
	default:
		to.WriteString(of.Kind().String() + "\n")
	}
}

// TestBroken: a file that is cut, has more, or one bit of which is another, is
// refused.
func TestBroken(t *testing.T) {
	whole := encoded(t, sample(t))
	refuse := func(what string, b []byte, want error) {
		t.Helper()
		if c, err := Decode(bytes.NewReader(b), int64(len(b))); c != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range whole {
		refuse("cut short", whole[:n], ErrBroken)
	}
	refuse("longer", append(bytes.Clone(whole), 0), ErrBroken)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		want := ErrBroken
		if i >= 16 && i < 20 {
			want = ErrVersion
		}
		refuse("changed", b, want)
	}
	// A header that claims much takes no memory before its size is found wrong.
	b := bytes.Clone(whole)
	binary.BigEndian.PutUint32(b[headerSize-4:], maxRecords)
	if n := testing.AllocsPerRun(1, func() { _, _ = Decode(bytes.NewReader(b), int64(len(b))) }); n > 50 {
		t.Errorf("%v allocations", n)
	}
	refuse("claims more than it has", b, ErrBroken)
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, sample(f)))
	f.Add(encoded(f, &Contents{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > headerSize { // fix the sizes and the checksum, or nothing gets past them
			calls := (len(b) - headerSize) / callSize
			binary.BigEndian.PutUint32(b[headerSize-8:], 0)
			binary.BigEndian.PutUint32(b[headerSize-4:], uint32(calls))
			b = b[:headerSize+calls*callSize]
			sum := sha256.Sum256(b)
			b = append(b[:len(b):len(b)], sum[:]...)
		}
		c, err := Decode(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		w := tracktest.New(t)
		w.Restart(&c.Saved, time.Second)
		again := encoded(t, c)
		if got, err := Decode(bytes.NewReader(again), int64(len(again))); err != nil || !cmp.Equal(got, c) {
			t.Errorf("written and read again: %v", err)
		}
	})
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path, Identity{"lan", "wan"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := open(t, path)
	now := Now()
	if _, _, err := f.Read(now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing written: %v", err)
	}
	c := sample(t)
	for range 2 {
		c.Written = Moment{Wall: now.Wall - 3e9, Since: now.Since - 3e9, Boot: now.Boot}
		if err := f.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	got, age, err := f.Read(now)
	if err != nil || age != 3*time.Second || len(got.Saved.Calls) != 2 {
		t.Errorf("%+v, %s old: %v", got, age, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the directory: %v %v, want the state and its lock", entries, err)
	}
	if _, err := Open(path, Identity{}); err == nil || !strings.Contains(err.Error(), "another grewire") {
		t.Errorf("opened twice: %v", err)
	}
	f.Close()
	open(t, path)
	if _, err := Open(filepath.Join(t.TempDir(), "none", "state"), Identity{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// TestOpenRefuses: nothing but a state is ever replaced.
func TestOpenRefuses(t *testing.T) {
	for name, create := range map[string]func(path string) error{
		"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":      func(path string) error { return os.Symlink("nowhere", path) },
		"a text":      func(path string) error { return os.WriteFile(path, []byte("a long letter to somebody"), 0o600) },
		"a word":      func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "state")
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Identity{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is opened: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left in the directory: %v %v", name, left, err)
		}
	}
}

// TestForeignMeanwhile: what comes in the place of the state while the box runs
// is left alone; an empty file, and one that was cut short, are not.
func TestForeignMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f, c := open(t, path), sample(t)
	whole := encoded(t, c)
	for name, test := range map[string]struct {
		text    []byte
		foreign bool
	}{"a text": {[]byte("a letter"), true}, "empty": {nil, false}, "cut in its first word": {whole[:5], false}, "cut short": {whole[:99], false}} {
		if err := os.WriteFile(path, test.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.Write(c); errors.Is(err, ErrForeign) != test.foreign || !test.foreign && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || bytes.Equal(now, test.text) != test.foreign {
			t.Errorf("%s: the file has %q now, %v", name, now, err)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 2 {
			t.Errorf("%s: left in the directory: %v %v, want the file and the lock", name, left, err)
		}
	}
}

// TestRefused: what is not this box's, or too old, or may be somebody else's
// work, is not read.
func TestRefused(t *testing.T) {
	now := Moment{Wall: 1e18, Since: 1e15, Boot: [36]byte{1}}
	before := func(d time.Duration, sameBoot bool) Moment {
		m := Moment{Wall: now.Wall - int64(d), Since: 5}
		if sameBoot { // and the wall clock was set
			m = Moment{Wall: now.Wall + 5e17, Since: now.Since - int64(d), Boot: now.Boot}
		}
		return m
	}
	tests := map[string]struct {
		written Moment
		id      Identity
		spoil   func(path string) error
		want    error
		part    string
	}{
		"sound":              {before(9*time.Minute, true), Identity{"lan", "wan"}, nil, nil, ""},
		"of the boot before": {before(9*time.Minute, false), Identity{"lan", "wan"}, nil, nil, ""},
		"old":                {before(11*time.Minute, true), Identity{"lan", "wan"}, nil, ErrOld, "11m0s ago"},
		"old, boot before":   {before(11*time.Minute, false), Identity{"lan", "wan"}, nil, ErrOld, "11m0s ago"},
		"of the future":      {before(-time.Hour, false), Identity{"lan", "wan"}, nil, ErrOld, "1h0m0s from now"},
		"other NICs":         {before(time.Second, true), Identity{"wan", "lan"}, nil, ErrOther, `"lan" and "wan"`},
		"others may write":   {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return os.Chmod(path, 0o620) }, fs.ErrPermission, "others may write it"},
		"a pipe":             {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }, ErrBroken, "no plain file"},
		"a directory":        {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, ErrBroken, "no plain file"},
		"a link":             {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path)) }, unix.ELOOP, "state"},
		"empty":              {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return os.Truncate(path, 0) }, ErrBroken, "cut short"},
		"something else":     {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return os.WriteFile(path, make([]byte, 4096), 0o600) }, ErrBroken, "does not begin like one"},
		"somebody else's":    {before(time.Second, true), Identity{"lan", "wan"}, func(path string) error { return os.Chown(path, 12345, -1) }, fs.ErrPermission, "belongs to user 12345"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "somebody else's" && os.Geteuid() != 0 {
				t.Skip("giving a file away needs root: run this test with sudo")
			}
			path := filepath.Join(t.TempDir(), "state")
			c := sample(t)
			c.Written = test.written
			if err := open(t, path).Write(c); err != nil {
				t.Fatal(err)
			}
			if test.spoil != nil {
				if err := test.spoil(path); err != nil {
					t.Fatal(err)
				}
			}
			f := &File{path: path, id: test.id}
			got, age, err := f.Read(now)
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.part) {
				t.Errorf("%v, want %v with %q", err, test.want, test.part)
			}
			if test.want == nil && (got == nil || age != 9*time.Minute) {
				t.Errorf("%v, %s old", got, age)
			}
		})
	}
}

// TestWriteFails: what was written stays when no more can be.
func TestWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := open(t, path)
	c := sample(t)
	if err := f.Write(c); err != nil {
		t.Fatal(err)
	}
	f.id.LAN = strings.Repeat("x", 17)
	if err := f.Write(c); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v", err)
	}
	f.id.LAN = "lan"
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(c); err == nil {
		t.Error("written in spite of a directory in its way")
	}
	if _, _, err := f.Read(Now()); err != nil {
		t.Error(err)
	}
}

func TestNow(t *testing.T) {
	a := Now()
	if d := a.Until(Now()); d < 0 || d > time.Minute || a.Boot == [36]byte{} {
		t.Errorf("%s between one moment and the next, %+v", d, a)
	}
}

func BenchmarkWrite(b *testing.B) {
	c := sample(b)
	for len(c.Saved.Calls) < 65536 {
		c.Saved.Calls = append(c.Saved.Calls, c.Saved.Calls...)
	}
	f, err := Open(filepath.Join(b.TempDir(), "state"), Identity{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if err := f.Write(c); err != nil {
			b.Fatal(err)
		}
	}
}
