/**
 * Where the requests of a route go, as an engine with its own draw can say it.
 */
import type { Route } from '../table/table.ts'

/** An upstream of a route, and its part of the route's requests. */
export interface Share {
  readonly upstream: string
  readonly side: 'from' | 'to'
  /** Above 0, at most 1. The shares of a route add up to 1. */
  readonly part: number
}

/** The share of requests with a key: those of `to` first, the rest last. */
export function sharesOf({ percent, targets, from }: Route): readonly Share[] {
  const total = targets.reduce((sum, { weight }) => sum + weight, 0)
  const moved = targets
    .filter(({ weight }) => weight > 0 && percent > 0)
    .map(({ upstream, weight }): Share => ({ upstream, side: 'to', part: (percent / 100) * (weight / total) }))
  if (percent === 100) return moved
  return [...moved, { upstream: from, side: 'from', part: 1 - percent / 100 }]
}

/** Whether a draw decides where a request of the route goes. */
export function isDrawn(route: Route): boolean {
  return sharesOf(route).length > 1 || (route.percent === 100 && !route.movesAll && keylessOf(route) === 'from')
}

/** Where a request without a key goes. With `request` at the end of the chain each is drawn by itself, and so `random`. */
export function keylessOf({ sticky, noKey, movesAll }: Route): 'from' | 'random' | 'to' {
  if (sticky.length === 0 || sticky.at(-1)?.kind === 'request') return 'random'
  // All move, and only which of several targets they get is drawn.
  return movesAll ? 'random' : noKey
}
