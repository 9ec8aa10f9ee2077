// What makes pages live; without it they still work.
