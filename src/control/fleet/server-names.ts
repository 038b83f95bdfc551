/**
 * Resolves the host names of servers: all addresses are used, and resolved again according to their TTL.
 */
import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ControlLog } from '../control-log.ts'

/** Dependencies of the resolver. */
export interface NameParts {
  readonly log: ControlLog
  /** DNS servers, `ADDRESS` or `ADDRESS:PORT`; empty for the system's resolver. */
  readonly servers: readonly string[]
  /** The addresses of a name have changed. */
  onChange(): void
}

type Family = 4 | 6

/**
 * The addresses of a name in one family, possibly none, and how long they are valid in milliseconds; or an error. Only NOERROR
 * without records and NXDOMAIN mean that there are none (RFC 2308 section 2).
 */
type Answer = { readonly addresses: readonly string[]; readonly forMs: number } | { readonly error: Error }

/** Never rejects. */
type Ask = (family: Family) => Promise<Answer>

const SAYS_NONE: ReadonlySet<unknown> = new Set(['ENODATA', 'ENOTFOUND'])

/** Validity without a TTL: from a hosts file or another name service, or if the name does not resolve. */
const WITHOUT_TTL_MS = 30_000
/** Delay after an error. */
const AFTER_ERROR_MS = 5_000
/** Bounds for TTLs: 0 must not mean a query all the time, and container engines give long ones although containers move. */
const [MIN_MS, MAX_MS] = [1_000, 30_000]
const ASK = { timeout: 2_000, tries: 2 }

/** Keeps host names resolved. */
export class ServerNames {
  readonly #parts: NameParts
  readonly #resolver: Resolver
  readonly #names = new Map<string, Name>()

  constructor(parts: NameParts) {
    this.#parts = parts
    this.#resolver = new Resolver(ASK)
    if (parts.servers.length > 0) this.#resolver.setServers([...parts.servers])
  }

  /** Resolves exactly these host names from now on. Addresses and `localhost` are not resolved. */
  follow(hostnames: Iterable<string>): void {
    const gone = new Set(this.#names.keys())
    for (const hostname of hostnames) {
      if (isIP(hostname) !== 0 || isLocal(hostname)) continue
      gone.delete(hostname)
      if (this.#names.has(hostname)) continue
      const ask = (family: Family): Promise<Answer> => this.#ask(hostname, family)
      // Configured DNS servers come first, then the system's resolver, which knows names that they may not.
      const [first, second] =
        this.#parts.servers.length > 0
          ? [ask, (family: Family) => bySystem(hostname, family)]
          : [(family: Family) => this.#bySystem(hostname, family), null]
      const name = new Name(hostname, first, second, this.#parts)
      this.#names.set(hostname, name)
    }
    for (const hostname of gone) {
      this.#names.get(hostname)?.stop()
      this.#names.delete(hostname)
    }
  }

  /** The addresses of a name, sorted; empty if unknown, which leaves resolving to the system. */
  of(hostname: string): readonly string[] {
    return this.#names.get(hostname)?.addresses ?? []
  }

  /** IPv6 addresses of a name that also has IPv4 addresses, sorted. */
  alternatives(hostname: string): readonly string[] {
    return this.#names.get(hostname)?.alternatives ?? []
  }

  /** Resolves a name again soon: its server fails, so it may have moved. */
  again(hostname: string): void {
    this.#names.get(hostname)?.again()
  }

  close(): void {
    this.follow([])
    this.#resolver.cancel()
  }

  /** Addresses from the system's resolver, hosts file included; the TTL from DNS. */
  async #bySystem(hostname: string, family: Family): Promise<Answer> {
    const [found, asked] = await Promise.all([bySystem(hostname, family), this.#ask(hostname, family)])
    return 'error' in found || 'error' in asked ? found : { ...found, forMs: asked.forMs }
  }

  async #ask(hostname: string, family: Family): Promise<Answer> {
    try {
      const type = family === 4 ? 'resolve4' : 'resolve6'
      const records = await this.#resolver[type](hostname, { ttl: true })
      const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1000
      return { addresses: records.map(({ address }) => address), forMs: Math.min(Math.max(ttlMs, MIN_MS), MAX_MS) }
    } catch (error) {
      return noneOrError(error)
    }
  }
}

async function bySystem(hostname: string, family: Family): Promise<Answer> {
  try {
    const found = await lookup(hostname, { family, all: true })
    return { addresses: found.map(({ address }) => address), forMs: WITHOUT_TTL_MS }
  } catch (error) {
    return noneOrError(error)
  }
}

function noneOrError(error: unknown): Answer {
  const saysNone = SAYS_NONE.has((error as NodeJS.ErrnoException).code)
  return saysNone ? { addresses: [], forMs: WITHOUT_TTL_MS } : { error: error as Error }
}

const isNone = (answer: Answer): boolean => 'addresses' in answer && answer.addresses.length === 0

/** RFC 6761 section 6.3: this machine, by either family. */
function isLocal(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost')
}

/** One resolved name. */
class Name {
  readonly #hostname: string
  readonly #ask: Ask
  readonly #askInstead: Ask | null
  readonly #parts: NameParts
  readonly #known: Record<Family, readonly string[]> = { 4: [], 6: [] }
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #lost = false
  /** When it was asked for last, by performance.now. */
  #askedMs = Number.NEGATIVE_INFINITY
  /** It is asked for sooner than the TTL says. */
  #soon = false

  /** @param askInstead is used if `ask` finds no address in either family */
  constructor(hostname: string, ask: Ask, askInstead: Ask | null, parts: NameParts) {
    this.#hostname = hostname
    this.#ask = ask
    this.#askInstead = askInstead
    this.#parts = parts
    void this.#look()
  }

  /** One family only: a machine with an IPv4 and an IPv6 address must not count as two servers. */
  get addresses(): readonly string[] {
    return this.#known[4].length > 0 ? this.#known[4] : this.#known[6]
  }

  get alternatives(): readonly string[] {
    return this.#known[4].length > 0 ? this.#known[6] : []
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** Resolves again regardless of the TTL, but at most once a second. */
  again(): void {
    if (this.#stopped || this.#timer === undefined || this.#soon) return
    this.#soon = true
    clearTimeout(this.#timer)
    const waitMs = Math.max(0, MIN_MS - (performance.now() - this.#askedMs))
    this.#timer = setTimeout(() => void this.#look(), waitMs).unref()
  }

  async #look(): Promise<void> {
    this.#timer = undefined
    this.#soon = false
    this.#askedMs = performance.now()
    const asked = this.#ask(6)
    let four = await this.#ask(4)
    // Some DNS servers never answer AAAA queries (RFC 4074), so IPv4 addresses are used at once.
    if (!this.#stopped && 'addresses' in four && four.addresses.length > 0) this.#take(four, null)
    let six = await asked
    if (this.#askInstead !== null && isNone(four) && isNone(six)) {
      ;[four, six] = await Promise.all([this.#askInstead(4), this.#askInstead(6)])
    }
    if (this.#stopped) return
    this.#take(four, six)
    const forMs = Math.min(
      ...[four, six].map((answer) => ('error' in answer ? Number.POSITIVE_INFINITY : answer.forMs)),
    )
    // If the addresses in use are known, the other family is not urgent.
    const failed = 'error' in four || (four.addresses.length === 0 && 'error' in six)
    this.#timer = setTimeout(() => void this.#look(), Math.min(forMs, failed ? AFTER_ERROR_MS : MAX_MS)).unref()
  }

  /** @param six null if not known yet */
  #take(four: Answer, six: Answer | null): void {
    const { log, onChange } = this.#parts
    const before = [...this.addresses]
    const alternativesBefore = this.alternatives.join()
    const none = (answer: Answer | null): boolean =>
      answer !== null && 'addresses' in answer && answer.addresses.length === 0
    // Known addresses are kept: an empty answer must not remove all servers.
    const gone = none(four) && none(six)
    if (!gone) {
      if ('addresses' in four) this.#known[4] = sorted(four.addresses)
      if (six !== null && 'addresses' in six) this.#known[6] = sorted(six.addresses)
    }
    const { addresses } = this
    const unknown = 'error' in four ? four.error : six !== null && 'error' in six && isNone(four) ? six.error : null
    if (gone) this.#lose('no addresses')
    else if (unknown !== null) this.#lose(unknown.message)
    else if (this.#lost) {
      this.#lost = false
      log.info({ event: 'name', name: this.#hostname }, `${this.#hostname} resolves again`)
    }
    if (addresses.join() !== before.join()) {
      const fields = { event: 'name', name: this.#hostname, addresses, before }
      log.info(fields, `${this.#hostname} is ${addresses.join(', ')}`)
      onChange()
    } else if (this.alternatives.join() !== alternativesBefore) onChange()
  }

  #lose(reason: string): void {
    if (this.#lost) return
    this.#lost = true
    const last =
      this.addresses.length === 0 ? 'no known addresses' : `keeping the last addresses: ${this.addresses.join(', ')}`
    this.#parts.log.warn({ event: 'name', name: this.#hostname, reason }, `${this.#hostname} does not resolve; ${last}`)
  }
}

function sorted(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses)].sort()
}
