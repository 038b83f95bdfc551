/**
 * How often a client that has half-closed its connection is sent something: only that shows whether it has left.
 */

/** The pauses after each probe, milliseconds. The first is short, for nearby clients. */
export const PROBE_AFTER_MS: readonly number[] = [2, 50, 100, 500, 1000, 2000, 5000, 10_000]
