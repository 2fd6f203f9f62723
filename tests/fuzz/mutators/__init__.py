"""How mutants are made of what is there: of texts by tokens, of protobuf by fields, of archives by members."""
