"""Reading demand out of the IR: the operations of a step, and what is known of the values between them."""
