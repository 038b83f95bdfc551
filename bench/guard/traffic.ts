/**
 * The traffic of the simulation: requests of a route with an old and a new version behind it.
 */
import type { Metric } from '../../src/rules/ramp/guard.ts'
import { Chance } from './chance.ts'

/** How one version answers. */
export interface Version {
  /** Part of the requests that fail with 5xx. */
  readonly errors: number
  /** Part of the requests answered 404. */
  readonly notFound: number
  /** Factor on all latencies. */
  readonly slower: number
  /** Part of the comparisons that are mismatches. */
  readonly mismatches: number
}

export interface World {
  readonly name: string
  readonly requestsPerMinute: number
  readonly latency: 'log-normal' | 'bimodal'
  readonly from: Version
  readonly to: Version
  /** Requests, errors and latency go up and down over a day, as day and night do. */
  readonly daily?: boolean
  /** For ten minutes in each of the first two hours half of the requests of both sides fail. */
  readonly outage?: boolean
  /** Keys with Zipf-distributed traffic, of which one in a hundred fails half of its requests; else every request is a key. */
  readonly zipfKeys?: number
  /** One key makes this part of the requests. */
  readonly heavy?: number
  /** A failed request is made again, up to three times, a second apart. */
  readonly retries?: boolean
  /** Percent goes up and down between 1 and 25 each minute. */
  readonly moving?: boolean
  readonly shadow?: boolean
  /** After so many seconds at a step a person takes the next one, if the judge has not. */
  readonly patienceS?: number
}

export interface Request {
  /** Null where every request is a key. */
  readonly key: number | null
  /** Place of its key in the draw, 0 to 1. */
  readonly bucket: number
  readonly attempt: number
}

export interface Outcome {
  readonly failure: Metric | null
  readonly latencyMs: number
}

const DAY_S = 86_400

export class Traffic {
  readonly #world: World
  readonly #chance: Chance
  readonly #cumulative: Float64Array
  readonly #buckets: Float64Array
  readonly #flaky: Uint8Array
  readonly #startS: number
  #again: Request[] = []

  constructor(world: World, seed: number) {
    this.#world = world
    this.#chance = new Chance(seed)
    const keys = world.zipfKeys ?? 0
    this.#cumulative = new Float64Array(keys)
    this.#buckets = new Float64Array(keys)
    this.#flaky = new Uint8Array(keys)
    let sum = 0
    for (let key = 0; key < keys; key++) {
      sum += 1 / (key + 1)
      this.#cumulative[key] = sum
      this.#buckets[key] = this.#chance.next()
      this.#flaky[key] = this.#chance.next() < 0.01 ? 1 : 0
    }
    this.#startS = this.#chance.next() * DAY_S
  }

  /** The requests of one second. */
  second(atS: number): Request[] {
    const { requestsPerMinute } = this.#world
    const requests = this.#again
    this.#again = []
    for (let left = this.#chance.poisson((requestsPerMinute / 60) * this.#wave(atS, 0.6)); left > 0; left--)
      requests.push(this.#request())
    return requests
  }

  /** How a side answers a request. */
  answer(request: Request, side: 'from' | 'to', atS: number): Outcome {
    const version = this.#world[side]
    const isFlaky = request.key !== null && this.#flaky[request.key] === 1
    const rate = isFlaky ? 0.5 : version.errors * this.#wave(atS, 0.5)
    const isOut = this.#world.outage === true && atS < 7200 && atS % 3600 >= 1200 && atS % 3600 < 1800
    let failure: Metric | null = null
    if (this.#chance.next() < (isOut ? 0.5 : rate)) failure = 'error'
    else if (this.#chance.next() < version.notFound) failure = 'client-error'
    if (failure === 'error' && this.#world.retries === true && request.attempt < 3) {
      const bucket = request.key === null ? this.#chance.next() : request.bucket
      this.#again.push({ ...request, bucket, attempt: request.attempt + 1 })
    }
    return { failure, latencyMs: this.#latency() * version.slower * this.#wave(atS, 0.4) }
  }

  isMismatch(): boolean {
    return this.#chance.next() < this.#world.to.mismatches
  }

  #request(): Request {
    const { zipfKeys, heavy } = this.#world
    if (zipfKeys === undefined) return { key: null, bucket: this.#chance.next(), attempt: 0 }
    const key = heavy !== undefined && this.#chance.next() < heavy ? 0 : this.#zipf()
    return { key, bucket: this.#buckets[key] as number, attempt: 0 }
  }

  #zipf(): number {
    const cumulative = this.#cumulative
    const drawn = this.#chance.next() * (cumulative.at(-1) as number)
    let [low, high] = [0, cumulative.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cumulative[middle] as number) < drawn) low = middle + 1
      else high = middle
    }
    return low
  }

  #latency(): number {
    if (this.#world.latency === 'log-normal') return 20 * Math.exp(0.6 * this.#chance.normal())
    // A cache in the service: most answers are quick, one in seven is not.
    const isSlow = this.#chance.next() < 1 / 7
    return (isSlow ? 120 : 6) * Math.exp(0.25 * this.#chance.normal())
  }

  /** A factor around 1 that follows the time of day. */
  #wave(atS: number, by: number): number {
    return this.#world.daily === true ? 1 + by * Math.sin(((atS + this.#startS) / DAY_S) * 2 * Math.PI) : 1
  }
}
