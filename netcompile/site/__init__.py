"""The playground: the compiler in a web page, built by `make site`, served by `netcompile site`."""
