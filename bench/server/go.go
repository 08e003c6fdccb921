// The echo server, and the server of one HTTP answer, over Go's runtime: a goroutine for each
// connection, one thread of them at a time.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
)

func echo(connection net.Conn) {
	buffer := make([]byte, 4096)
	for {
		got, err := connection.Read(buffer)
		if err != nil {
			break
		}
		if _, err = connection.Write(buffer[:got]); err != nil {
			break
		}
	}
	connection.Close()
}

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 1 && os.Args[1] == "http" {
		answer := []byte("hello, world\n")
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(answer) })
		panic(http.Serve(listener, nil))
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(connection)
	}
}
