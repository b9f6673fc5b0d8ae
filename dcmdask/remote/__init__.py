"""Where bytes are that are no file of this machine: buckets, web servers, anything fsspec opens."""
