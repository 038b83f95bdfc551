/**
 * What a data plane has seen of endpoints that no route claims, and who still uses the old side of routes that have moved. Until
 * it is told.
 */
import type { Caller } from '../../rules/discovery/caller.ts'
import { foldMethod, pathOf } from '../../rules/discovery/fold.ts'
import { Callers, type CallersDelta } from './callers.ts'
import { addCounts, countOne, type Endpoint, type EndpointDelta, EndpointTree, noCounts } from './endpoint-tree.ts'

/** Endpoints of a data plane, and of all together. */
export const MAX_ENDPOINTS = 2000

/** Routes whose callers are told apart. */
const MAX_ROUTES = 1000

/** A request that no route claims, and its response. */
export interface Unclaimed {
  readonly method: string
  readonly target: string
  /** Of the response; 0 where the client was gone before. */
  readonly status: number
  /** An upstream has responded. */
  readonly isAnswered: boolean
  /** The path has several readings: no route can claim it. */
  readonly isAmbiguous: boolean
  readonly durationMs: number
  /** How the upstream reads paths. */
  readonly ignoresCase: boolean
  caller(): Caller
}

/** Whose requests of a route still went to its old side, or were answered that it has ended. Plain data. */
export interface RouteCallers extends CallersDelta {
  readonly route: string
}

/** What was counted since it was last told. Plain data. */
export interface UsageDelta {
  readonly endpoints: readonly EndpointDelta[]
  /** Requests that show no endpoint: refused by the application (4xx), or without a response of it. */
  readonly refused: number
  /** Requests whose path has several readings. */
  readonly ambiguous: number
  /** Requests of endpoints beyond the bound. */
  readonly more: number
  readonly routes: readonly RouteCallers[]
}

/** Adds one request to what is known of its endpoint. */
export function countUnclaimed(
  tree: EndpointTree,
  unclaimed: Unclaimed,
  nowMs: number,
): 'counted' | 'refused' | 'more' {
  const { status } = unclaimed
  // Scanners ask for what is not there: that makes no endpoint.
  const shows = unclaimed.isAnswered && status >= 100 && (status < 400 || status > 499)
  const path = pathOf(unclaimed.target)
  if (path === null || (!shows && status < 400)) return 'refused'
  const { ignoresCase } = unclaimed
  const endpoint = tree.at(foldMethod(unclaimed.method), path, { makes: shows, ignoresCase })
  if (endpoint === null) return shows ? 'more' : 'refused'
  countOne(endpoint.counts, status, unclaimed.durationMs, nowMs)
  countOne(endpoint.fresh, status, unclaimed.durationMs, nowMs)
  endpoint.freshCallers.count(unclaimed.caller(), nowMs)
  return 'counted'
}

/** Counts what is known of an endpoint. */
export function addToEndpoint(
  endpoint: Endpoint,
  { callers, ...counts }: Omit<EndpointDelta, 'method' | 'path'>,
): void {
  addCounts(endpoint.counts, counts)
  addCounts(endpoint.fresh, counts)
  endpoint.callers.add(callers)
  endpoint.freshCallers.add(callers)
}

/** Takes what was counted of the endpoints of a tree since it was last taken. */
export function takeFresh(tree: EndpointTree): EndpointDelta[] {
  const taken: EndpointDelta[] = []
  for (const [path, endpoint] of tree.touched()) {
    const { fresh, freshCallers, method } = endpoint
    if (fresh.requests === 0) continue
    taken.push({ method, path, ...fresh, callers: freshCallers.take() })
    endpoint.fresh = noCounts()
  }
  return taken
}

/** The endpoints and callers that one data plane has seen. */
export class UsageTally {
  readonly #tree = new EndpointTree(MAX_ENDPOINTS)
  readonly #routes = new Map<string, Callers>()
  #refused = 0
  #ambiguous = 0
  #more = 0

  /** @param nowMs epoch milliseconds */
  unclaimed(unclaimed: Unclaimed, nowMs: number): void {
    if (unclaimed.isAmbiguous) {
      this.#ambiguous++
      return
    }
    const done = countUnclaimed(this.#tree, unclaimed, nowMs)
    if (done === 'refused') this.#refused++
    else if (done === 'more') this.#more++
  }

  /** Somebody still uses the old side of a route that has moved, or an endpoint that has ended. @param nowMs epoch milliseconds */
  late(route: string, caller: Caller, nowMs: number): void {
    let callers = this.#routes.get(route)
    if (callers === undefined) {
      if (this.#routes.size >= MAX_ROUTES) return
      callers = new Callers()
      this.#routes.set(route, callers)
    }
    callers.count(caller, nowMs)
  }

  /** What was counted since the last call. */
  take(): UsageDelta {
    const routes = [...this.#routes].map(([route, callers]) => ({ route, ...callers.take() }))
    this.#routes.clear()
    const { droppedFresh } = this.#tree
    this.#tree.droppedFresh = 0
    const taken = {
      endpoints: takeFresh(this.#tree),
      refused: this.#refused,
      ambiguous: this.#ambiguous,
      more: this.#more + droppedFresh,
      routes,
    }
    this.#refused = 0
    this.#ambiguous = 0
    this.#more = 0
    return taken
  }
}
