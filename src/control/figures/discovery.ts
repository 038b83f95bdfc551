/**
 * The endpoints of all data planes that no route claims: what is left of the old application to be moved.
 */
import { z } from 'zod'
import { murmur3 } from '../../rules/patterns/draw.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import type { Table } from '../../rules/table/table.ts'
import type { Steps } from '../../rules/values/steps.ts'
import type { CallersDelta } from '../../state/discovery/callers.ts'
import {
  addCounts,
  type EndpointCounts,
  type EndpointDelta,
  EndpointTree,
} from '../../state/discovery/endpoint-tree.ts'
import { addToEndpoint, MAX_ENDPOINTS, takeFresh, type UsageDelta } from '../../state/discovery/usage-tally.ts'
import {
  HOUR_MS,
  type NewRecord,
  type SpaceBounds,
  type StateRecord,
  type StateStore,
  type Sum,
} from '../../state/store/store.ts'
import { inTurns } from '../turns.ts'
import { DAY_MS, dayOf, Stored } from './stored.ts'

/** One endpoint that was found. */
export interface Discovered extends EndpointCounts {
  /** Made of method and path, whatever its placeholders are called. */
  readonly id: string
  readonly method: string
  readonly path: string
  readonly callers: CallersDelta
  /** The route of the current table that would claim it, or null. */
  readonly route: string | null
}

/** Requests that no route has claimed and that are at no endpoint. */
export interface OtherRequests {
  /** Refused by the application (4xx), or without a response of it. */
  refused: number
  /** With several readings of the path. */
  ambiguous: number
  /** Of endpoints beyond the bound. */
  more: number
}

/** What was found. */
export interface Discoveries {
  /** The most requests first. */
  readonly endpoints: readonly Discovered[]
  readonly others: OtherRequests
  /** Since when, epoch milliseconds. */
  readonly sinceMs: number
}

/** So many days are kept. */
export const KEPT_DAYS = 30

const SPACE = 'discovered'
const BOUNDS: SpaceBounds = { records: MAX_ENDPOINTS, hours: (KEPT_DAYS + 1) * 24 }
/** Endpoints of a day that are stored apart; requests of others are stored as `more`. */
const MAX_STORED = MAX_ENDPOINTS
/** The key of requests at no endpoint. */
const OTHERS = ''
const RECORDS = 'endpoints'

const storedRecord = z.object({
  firstMs: z.number(),
  lastMs: z.number(),
  callers: z
    .array(
      z.object({ agent: z.string().max(100), network: z.string().max(100), requests: z.number(), lastMs: z.number() }),
    )
    .max(100),
  more: z.number(),
})
const KEY = /^([A-Z]{3,16}) \/([\w.~:*/-]{0,2000})$/

interface Known {
  tree: EndpointTree
  others: OtherRequests
}

/** The endpoints. With a store what is counted is added to it, and what it has is known from the start. */
export class Discovery extends Stored {
  #known: Known = nothing()
  #fresh: OtherRequests = noOthers()
  readonly #sinceMs: number
  #open = 0
  /** Keys that were stored today. */
  #stored = { day: 0, keys: new Set<string>() }

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    super('discovered endpoints are', now)
    this.#sinceMs = now()
  }

  /** Adds what a plane has counted. */
  add({ endpoints, refused, ambiguous, more }: Pick<UsageDelta, 'endpoints' | keyof OtherRequests>): void {
    const others = { refused, ambiguous, more: more + this.#addEndpoints(endpoints) }
    addOthers(this.#known.others, others)
    addOthers(this.#fresh, others)
  }

  /** Endpoints without a route, when that was last looked at. */
  get open(): number {
    return this.#open
  }

  /**
   * What no route has claimed.
   * @param table tells which endpoints have a route by now
   * @param sinceMs epoch milliseconds, whole days count; null for all that is kept
   */
  async found(table: Table, sinceMs: number | null = null): Promise<Discoveries> {
    const day = sinceMs === null ? null : dayOf(sinceMs)
    const store = this.stored
    const known = day === null || store === null ? this.#known : await this.#since(store, day)
    const endpoints = await inTurns(discoveredSteps(known.tree, table))
    if (known === this.#known) this.#open = endpoints.filter(({ route }) => route === null).length
    const firstMs = endpoints.reduce((first, one) => Math.min(first, one.firstMs), this.#sinceMs)
    return { endpoints, others: { ...known.others }, sinceMs: day === null ? firstMs : Math.max(day * DAY_MS, firstMs) }
  }

  protected async load(store: StateStore): Promise<void> {
    const read = await this.#read(store, dayOf(this.now()) - KEPT_DAYS)
    const fresh = takeFresh(this.#known.tree)
    this.#known = read
    addOthers(read.others, this.#fresh)
    const beyond = this.#addEndpoints(fresh)
    this.#fresh.more += beyond
    read.others.more += beyond
  }

  protected async write(store: StateStore): Promise<void> {
    const day = dayOf(this.now())
    if (this.#stored.day !== day) this.#stored = { day, keys: new Set() }
    const taken = takeFresh(this.#known.tree)
    const others = this.#fresh
    this.#fresh = noOthers()
    if (taken.length === 0 && others.refused + others.ambiguous + others.more === 0) return
    const { keys } = this.#stored
    const beyond = taken.filter((one) => {
      const key = keyOf(one)
      if (!keys.has(key) && keys.size >= MAX_STORED) return true
      keys.add(key)
      return false
    })
    const kept = taken.filter((one) => !beyond.includes(one))
    const more = others.more + beyond.reduce((sum, { requests }) => sum + requests, 0)
    const group = groupOf(day)
    const hour = day * 24
    const sums: Sum[] = [
      { group, key: OTHERS, hour, counts: { refused: others.refused, ambiguous: others.ambiguous, more } },
      ...kept.map((one) => ({ group, key: keyOf(one), hour, counts: countsOf(one) })),
    ]
    try {
      await store.add(SPACE, sums, this.#records(kept), BOUNDS)
    } catch (error) {
      addOthers(this.#fresh, others)
      for (const { method, path, ...counts } of taken) {
        const endpoint = this.#known.tree.at(method, path.slice(1), { isTemplate: true })
        if (endpoint === null) continue
        addCounts(endpoint.fresh, counts)
        endpoint.freshCallers.add(counts.callers)
      }
      throw error
    }
  }

  #records(deltas: readonly EndpointDelta[]): NewRecord[] {
    return deltas.flatMap((one) => {
      const known = this.#known.tree.at(one.method, one.path.slice(1), { makes: false, isTemplate: true })
      if (known === null) return []
      const { firstMs, lastMs } = known.counts
      return [{ group: RECORDS, key: keyOf(one), value: JSON.stringify({ firstMs, lastMs, ...known.callers.all() }) }]
    })
  }

  /** @returns requests beyond the bound */
  #addEndpoints(endpoints: readonly EndpointDelta[]): number {
    let beyond = 0
    for (const { method, path, ...counts } of endpoints) {
      const endpoint = this.#known.tree.at(method, path.slice(1), { isTemplate: true })
      if (endpoint === null) beyond += counts.requests
      else addToEndpoint(endpoint, counts)
    }
    return beyond
  }

  async #since(store: StateStore, day: number): Promise<Known> {
    try {
      const read = await this.#read(store, day)
      for (const [path, { method, fresh, freshCallers }] of this.#known.tree.all()) {
        const endpoint = read.tree.at(method, path.slice(1), { isTemplate: true })
        if (endpoint !== null) addToEndpoint(endpoint, { ...fresh, callers: freshCallers.all() })
      }
      addOthers(read.others, this.#fresh)
      return read
    } catch {
      // What is in memory is better than nothing; the next save says what is wrong.
      return this.#known
    }
  }

  async #read(store: StateStore, sinceDay: number): Promise<Known> {
    const known = nothing()
    // A day at a time: an answer of the store is read in one piece.
    for (let day = sinceDay; day <= dayOf(this.now()); day++) {
      const sums = await store.sums(SPACE, day * 24, groupOf(day))
      await inTurns(sumSteps(known, sums))
    }
    await inTurns(recordSteps(known, await store.list(SPACE)))
    return known
  }
}

function* sumSteps(known: Known, sums: readonly Sum[]): Steps<void> {
  for (const { key, hour, counts } of sums) {
    yield
    if (key === OTHERS) addOthers(known.others, { refused: 0, ambiguous: 0, more: 0, ...counts })
    const [, method, path] = KEY.exec(key) ?? []
    const endpoint = method === undefined ? null : known.tree.at(method, path as string, { isTemplate: true })
    if (endpoint !== null) addCounts(endpoint.counts, readCounts(counts, hour * HOUR_MS))
  }
}

function* recordSteps(known: Known, records: readonly StateRecord[]): Steps<void> {
  for (const { key, value } of records) {
    yield
    const [, method, path] = KEY.exec(key) ?? []
    const read = parsed(value)
    if (method === undefined || read === null) continue
    const endpoint = known.tree.at(method, path as string, { makes: false, isTemplate: true })
    if (endpoint === null) continue
    endpoint.counts.firstMs = read.firstMs
    endpoint.counts.lastMs = Math.max(endpoint.counts.lastMs, read.lastMs)
    endpoint.callers.add(read)
  }
}

function* discoveredSteps(tree: EndpointTree, table: Table): Steps<Discovered[]> {
  const found: Discovered[] = []
  for (const [path, { method, counts, callers }] of tree.all()) {
    yield
    if (counts.requests === 0) continue
    const route = claimantOf(table, method, path)
    found.push({ id: idOf(method, path), method, path, ...counts, callers: callers.all(), route })
  }
  return found.sort((a, b) => b.requests - a.requests || (a.path < b.path ? -1 : 1))
}

/** The route that claims every request of an endpoint: one that asks for no more than path and method. */
function claimantOf(table: Table, method: string, path: string): string | null {
  const view = { method, target: path, host: '', rawHeaders: [], clientAddress: '', chance: 0 }
  return matchRoute(table, view).route?.id ?? null
}

/** Six hexadecimal digits. */
export function idOf(method: string, path: string): string {
  const shape = path.replaceAll(/:[a-z]+\d*/g, ':')
  return (murmur3(`${method} ${shape}`) >>> 8).toString(16).padStart(6, '0')
}

function keyOf({ method, path }: Pick<EndpointDelta, 'method' | 'path'>): string {
  return `${method} ${path}`
}

function groupOf(day: number): string {
  return `day ${day}`
}

function countsOf({ requests, durationMs, statuses }: EndpointCounts): Record<string, number> {
  const counts: Record<string, number> = { requests, ms: Math.round(durationMs) }
  for (const [at, count] of statuses.entries()) if (count > 0) counts[`${at + 1}xx`] = count
  return counts
}

function readCounts(counts: Sum['counts'], atMs: number): EndpointCounts {
  return {
    requests: counts.requests ?? 0,
    statuses: [1, 2, 3, 4, 5].map((digit) => counts[`${digit}xx`] ?? 0),
    durationMs: counts.ms ?? 0,
    firstMs: atMs,
    lastMs: atMs,
  }
}

function parsed(text: string): z.output<typeof storedRecord> | null {
  try {
    return storedRecord.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}

function nothing(): Known {
  return { tree: new EndpointTree(MAX_ENDPOINTS), others: noOthers() }
}

function noOthers(): OtherRequests {
  return { refused: 0, ambiguous: 0, more: 0 }
}

function addOthers(sum: OtherRequests, { refused, ambiguous, more }: OtherRequests): void {
  sum.refused += refused
  sum.ambiguous += ambiguous
  sum.more += more
}
