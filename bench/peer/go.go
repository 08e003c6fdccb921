// Go's side of the benchmarks; bench.h has the command line and what is the same for all.
//
// A goroutine yields by runtime.Gosched, parks in a channel, and has a stack of 2 KiB that grows.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	batch      = 100
	napNs      = 200000
	frameWords = 256 / 8
	lineWords  = 64 / 8
	usedBytes  = 8192
)

var (
	count          int
	started, ended time.Time
	figure, bytes  float64
)

func random(seed *uint64) uint64 {
	*seed = *seed*6364136223846793005 + 1442695040888963407
	return *seed >> 20
}

func far(seed *uint64) time.Duration {
	return time.Hour + time.Duration(random(seed))
}

// Callers that are not inlined; the touching ones write a word in each cache line of their frames.

type blocker func()

//go:noinline
func deep1(block blocker) int { block(); return 1 }

//go:noinline
func deep2(block blocker) int { return deep1(block) + 1 }

//go:noinline
func deep3(block blocker) int { return deep2(block) + 1 }

//go:noinline
func touch1(block blocker) (sum int) {
	var frame [frameWords]int
	for i := 0; i < frameWords; i += lineWords {
		frame[i] = i
	}
	block()
	for i := 0; i < frameWords; i += lineWords {
		sum += frame[i]
	}
	return sum
}

//go:noinline
func touch2(block blocker) (sum int) {
	var frame [frameWords]int
	for i := 0; i < frameWords; i += lineWords {
		frame[i] = i
	}
	sum = touch1(block)
	for i := 0; i < frameWords; i += lineWords {
		sum += frame[i]
	}
	return sum
}

//go:noinline
func touch3(block blocker) (sum int) {
	var frame [frameWords]int
	for i := 0; i < frameWords; i += lineWords {
		frame[i] = i
	}
	sum = touch2(block)
	for i := 0; i < frameWords; i += lineWords {
		sum += frame[i]
	}
	return sum
}

//go:noinline
func useStack() byte {
	var used [usedBytes]byte
	for i := 0; i < usedBytes; i += 64 {
		used[i] = 1
	}
	return used[count%usedBytes]
}

// Switches.

func wide(width int, fiber func(turns int)) {
	var all sync.WaitGroup
	all.Add(width)
	for i := 0; i < width; i++ {
		go func() {
			fiber(count / width)
			all.Done()
		}()
	}
	started = time.Now()
	all.Wait()
}

func yieldFlat(turns int) {
	for i := 0; i < turns; i++ {
		runtime.Gosched()
	}
}

func yieldDeep(turns int) {
	for i := 0; i < turns; i++ {
		deep3(runtime.Gosched)
	}
}

func yieldTouched(turns int) {
	useStack()
	for i := 0; i < turns; i++ {
		touch3(runtime.Gosched)
	}
}

// Births and ends.

func end() {}

func spawnEnd() {
	for i := 0; i < count; i += batch {
		for k := 0; k < batch; k++ {
			go end()
		}
		runtime.Gosched()
	}
}

func spawnJoin() {
	var one sync.WaitGroup
	for i := 0; i < count; i++ {
		one.Add(1)
		go one.Done()
		one.Wait()
	}
}

// Park and wake: two goroutines, each waits for what the other sends.

func pair(fiber func(turns int, wait, wake chan struct{})) {
	a, b := make(chan struct{}, 1), make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Add(2)
	started = time.Now()
	go func() { fiber(count/2, a, b); both.Done() }()
	go func() { fiber(count/2, b, a); both.Done() }()
	both.Wait()
}

func parkFlat(turns int, wait, wake chan struct{}) {
	for i := 0; i < turns; i++ {
		wake <- struct{}{}
		<-wait
	}
}

func parkDeadline(turns int, wait, wake chan struct{}) {
	limit := time.NewTimer(time.Hour)
	for i := 0; i < turns; i++ {
		wake <- struct{}{}
		limit.Reset(time.Hour)
		select {
		case <-wait:
		case <-limit.C:
		}
		limit.Stop()
	}
}

func parkDeep(turns int, wait, wake chan struct{}) {
	block := func() { <-wait }
	for i := 0; i < turns; i++ {
		wake <- struct{}{}
		deep3(block)
	}
}

func ring(width int) {
	gates := make([]chan struct{}, width)
	for i := range gates {
		gates[i] = make(chan struct{}, 1)
	}
	var all sync.WaitGroup
	all.Add(width)
	for i := 0; i < width; i++ {
		go func(wait, wake chan struct{}) {
			block := func() { <-wait }
			useStack()
			for turn := 0; turn < count/width; turn++ {
				touch3(block)
				wake <- struct{}{}
			}
			all.Done()
		}(gates[i], gates[(i+1)%width])
	}
	runtime.Gosched()
	started = time.Now()
	gates[0] <- struct{}{}
	all.Wait()
}

// Items between goroutines.

func messages(capacity int) {
	items := make(chan uint64, capacity)
	go func() {
		for i := 0; i < count; i++ {
			items <- uint64(i)
		}
	}()
	started = time.Now()
	for i := 0; i < count; i++ {
		<-items
	}
	ended = time.Now()
}

func buffered() {
	items := make(chan uint64, 16)
	for i := 0; i < count; i++ {
		items <- uint64(i)
		<-items
	}
}

func mutex() {
	var lock sync.Mutex
	for i := 0; i < count; i++ {
		lock.Lock()
		lock.Unlock()
	}
}

func selectOfTwo() {
	quit, items := make(chan struct{}), make(chan uint64, 1)
	items <- 0
	for i := 0; i < count; i++ {
		select {
		case <-quit:
		case item := <-items:
			items <- item
		}
	}
}

func sieve() {
	numbers := make(chan uint64)
	go func(out chan<- uint64) {
		for i := uint64(2); ; i++ {
			out <- i
		}
	}(numbers)
	for i := 0; i < count; i++ {
		prime, out := <-numbers, make(chan uint64)
		go func(in <-chan uint64, out chan<- uint64) {
			for number := range in {
				if number%prime != 0 {
					out <- number
				}
			}
		}(numbers, out)
		numbers = out
	}
}

// Timers: none needs a goroutine. An operation arms one and stops it.

func timers(size int, length func() time.Duration) {
	seed := uint64(1)
	crowd := make([]*time.Timer, size)
	for i := range crowd {
		crowd[i] = time.AfterFunc(far(&seed), end)
	}
	one := time.AfterFunc(time.Hour, end)
	one.Stop()
	started = time.Now()
	for i := 0; i < count; i++ {
		one.Reset(length())
		one.Stop()
	}
	ended = time.Now()
	runtime.KeepAlive(crowd)
}

func always(length time.Duration) func() time.Duration {
	return func() time.Duration { return length }
}

func anywhere() func() time.Duration {
	seed := uint64(2)
	return func() time.Duration { return far(&seed) }
}

// Parked goroutines.

func memory() (total float64) {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if words[0] == "VmRSS:" || words[0] == "VmPTE:" {
			kib, _ := strconv.ParseFloat(words[1], 64)
			total += kib * 1024
		}
	}
	return total
}

func parked(size int) {
	var all sync.WaitGroup
	gate := make(chan struct{})
	before := memory()
	started = time.Now()
	all.Add(size)
	for i := 0; i < size; i++ {
		go func() {
			<-gate
			all.Done()
		}()
	}
	runtime.Gosched()
	bytes = (memory() - before) / float64(size)
	close(gate)
	all.Wait()
	count = size
}

func sleepers() {
	var all sync.WaitGroup
	seed := uint64(1)
	all.Add(count)
	for i := 0; i < count; i++ {
		go func(nap time.Duration) {
			time.Sleep(nap)
			all.Done()
		}(time.Duration(random(&seed) % 1000000000))
		if i%batch == 0 {
			runtime.Gosched()
		}
	}
	all.Wait()
}

func wakeLate() {
	naps := make([]time.Duration, count)
	for i := range naps {
		began := time.Now()
		time.Sleep(napNs)
		naps[i] = time.Since(began)
	}
	sort.Slice(naps, func(a, b int) bool { return naps[a] < naps[b] })
	figure = float64(naps[count/2]) - napNs
}

var benches = map[string]func(){
	"yield_2":        func() { wide(2, yieldFlat) },
	"yield_1000":     func() { wide(1000, yieldFlat) },
	"yield_deep":     func() { wide(1000, yieldDeep) },
	"yield_deep_10k": func() { wide(10000, yieldTouched) },
	"spawn_end":      spawnEnd,
	"spawn_join":     spawnJoin,
	"scope_join":     spawnJoin,
	"park_wake":      func() { pair(parkFlat) },
	"park_deadline":  func() { pair(parkDeadline) },
	"park_deep":      func() { pair(parkDeep) },
	"park_deep_10k":  func() { ring(10000) },
	"chan":           func() { messages(0) },
	"chan_buffered":  buffered,
	"mutex":          mutex,
	"select_2":       selectOfTwo,
	"sieve":          sieve,
	"timer_100k":     func() { timers(100000, always(30*time.Minute)) },
	"timer_1m":       func() { timers(1000000, always(30*time.Minute)) },
	"timer_last_1m":  func() { timers(1000000, always(12*time.Hour)) },
	"timer_any_1m":   func() { timers(1000000, anywhere()) },
	"parked_100k":    func() { parked(100000) },
	"parked_1m":      func() { parked(1000000) },
	"sleepers_100k":  sleepers,
	"wake_late":      wakeLate,
}

func main() {
	if len(os.Args) == 3 {
		count, _ = strconv.Atoi(os.Args[2])
	}
	if count <= 0 || benches[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, "usage: go NAME COUNT\nnames:")
		for name := range benches {
			fmt.Fprint(os.Stderr, " ", name)
		}
		fmt.Fprintln(os.Stderr)
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	started = time.Now()
	benches[os.Args[1]]()
	if ended.IsZero() {
		ended = time.Now()
	}
	if figure == 0 {
		figure = float64(ended.Sub(started)) / float64(count)
	}
	fmt.Printf("ns %.3f\n", figure)
	if bytes > 0 {
		fmt.Printf("bytes %.0f\n", bytes)
	}
}
