"""The local daemon: the supervisor, the embedded servers, the folder kept applied, the doctor."""
