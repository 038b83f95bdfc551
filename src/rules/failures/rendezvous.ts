/**
 * Rendezvous hashing with weights: the same key gets the same server, and a server that comes takes its part of the keys and
 * moves no others (Thaler and Ravishankar 1998; weights by Schindelhauer and Schomaker 2005).
 */
import { hashOf } from '../patterns/draw.ts'

/** A server that a key can be given to. */
export interface WeightedServer {
  readonly name: string
  /** Above 0. */
  readonly weight: number
}

const TWO_32 = 2 ** 32

/** The server of a key among these; null if there are none. Their order does not count. */
export function serverOfKey<S extends WeightedServer>(servers: readonly S[], key: string): S | null {
  let best: S | null = null
  let bestAt = Number.POSITIVE_INFINITY
  for (const server of servers) {
    // An exponential time at the rate of the weight: the earliest is the draw by weight.
    const at = -Math.log((hashOf(server.name, key) + 0.5) / TWO_32) / server.weight
    if (at >= bestAt) continue
    best = server
    bestAt = at
  }
  return best
}
