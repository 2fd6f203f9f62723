"""Other engines that compute a net in torch's place: what each can do, and which is the fastest for a net here."""
