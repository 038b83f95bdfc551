/**
 * The upstreams that a route's share goes to: nearly always one. Several split it by a second hash, so that raising the percent moves
 * nobody between them.
 */
import type { RequestView } from '../http/exchange.ts'
import { hashOf, SEPARATOR } from '../patterns/draw.ts'
import { keyOf } from '../patterns/sticky.ts'
import type { Route, Target } from '../table/table.ts'

const TWO_32 = 2 ** 32

/** What `to` says, compiled: each with the upper end of its part of the second hash. Weights are relative. */
export function compileTargets(to: string | Readonly<Record<string, number>>): Target[] {
  if (typeof to === 'string') return [{ upstream: to, weight: 1, below: TWO_32 }]
  const total = Object.values(to).reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  return Object.entries(to).map(([upstream, weight]) => {
    sum += weight
    return { upstream, weight, below: Math.floor((sum / total) * TWO_32) }
  })
}

/** What `to` says, as text: `gtin`, `gtin 60, gtin-next 40`. */
export function targetsText(to: string | Readonly<Record<string, number>>): string {
  if (typeof to === 'string') return to
  return Object.entries(to)
    .map(([upstream, weight]) => `${upstream} ${weight}`)
    .join(', ')
}

/** The names in `to`. */
export function targetNames(to: string | Readonly<Record<string, number>>): string[] {
  return typeof to === 'string' ? [to] : Object.keys(to)
}

/** Whether an upstream is one that the route's share goes to. */
export function isTarget({ targets }: Pick<Route, 'targets'>, upstream: string): boolean {
  for (let i = 0; i < targets.length; i++) if ((targets[i] as Target).upstream === upstream) return true
  return false
}

/**
 * The upstream that a request in the share goes to.
 * @param key the sticky key of the request, or null: then its own random number decides
 */
export function targetFor({ targets, salt }: Route, key: string | null, chance: number): string {
  if (targets.length === 1) return (targets[0] as Target).upstream
  const hash = hashOf(`${salt}${SEPARATOR}to`, key ?? String(chance))
  return (targets.find(({ below }) => hash < below) ?? (targets.at(-1) as Target)).upstream
}

/** The upstream that a request would go to if it were in the share. @param params the values of the route's `:name`s */
export function targetOf(route: Route, params: readonly string[], view: RequestView): string {
  return targetFor(route, route.targets.length === 1 ? null : firstKey(route, params, view), view.chance)
}

/** The first sticky key that a request has; null where it has none, or is drawn by itself. */
export function firstKey({ sticky }: Route, params: readonly string[], view: RequestView): string | null {
  for (const source of sticky) {
    if (source.kind === 'request') return null
    const key = keyOf(source, view, params)
    if (key !== undefined) return key
  }
  return null
}

/** Whether a key decides anything: which side it goes to, or which of several targets. */
export function drawsKeys({ percent, movesAll, targets }: Pick<Route, 'percent' | 'movesAll' | 'targets'>): boolean {
  return percent > 0 && (!movesAll || targets.filter(({ weight }) => weight > 0).length > 1)
}

/** The share of a route's requests that an upstream gets as a target, in percent; null for one that is none. */
export function shareOf({ targets, percent }: Route, upstream: string): number | null {
  const total = targets.reduce((sum, { weight }) => sum + weight, 0)
  const target = targets.find((one) => one.upstream === upstream)
  return target === undefined ? null : (percent * target.weight) / total
}
