/**
 * The addresses behind the host names of servers: all of them are used, and they are asked for again as their TTL says.
 */
import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ControlLog } from '../control-log.ts'

/** What resolving works with. */
export interface NameParts {
  readonly log: ControlLog
  /** Name servers to ask, `ADDRESS` or `ADDRESS:PORT`; none for the system's. */
  readonly servers: readonly string[]
  /** The addresses of a name are others now. */
  onChange(): void
}

/** What a name stands for, and for how long that may be believed, milliseconds. */
interface Resolved {
  readonly addresses: readonly string[]
  readonly forMs: number
}

/** Where nothing says for how long: a hosts file, a name service without TTL, a name that does not resolve. */
const WITHOUT_TTL_MS = 30_000
/** A TTL of 0 is no order to ask without a pause; a long one, as container engines give it, none to sleep through a move. */
const [MIN_MS, MAX_MS] = [1_000, 30_000]
const ASK = { timeout: 2_000, tries: 2 }

/** Follows host names. */
export class ServerNames {
  readonly #parts: NameParts
  readonly #resolver: Resolver
  readonly #names = new Map<string, Name>()

  constructor(parts: NameParts) {
    this.#parts = parts
    this.#resolver = new Resolver(ASK)
    if (parts.servers.length > 0) this.#resolver.setServers([...parts.servers])
  }

  /** Resolves these host names from now on, and no others. Addresses and `localhost` need no resolving. */
  follow(hostnames: Iterable<string>): void {
    const gone = new Set(this.#names.keys())
    for (const hostname of hostnames) {
      if (isIP(hostname) !== 0 || isLocal(hostname)) continue
      gone.delete(hostname)
      if (this.#names.has(hostname)) continue
      const name = new Name(hostname, () => this.#resolve(hostname), this.#parts)
      this.#names.set(hostname, name)
    }
    for (const hostname of gone) {
      this.#names.get(hostname)?.stop()
      this.#names.delete(hostname)
    }
  }

  /** The addresses of a name, sorted; empty where they are not known, and the system is to find them. */
  of(hostname: string): readonly string[] {
    return this.#names.get(hostname)?.addresses ?? []
  }

  /** A server is ill: it may have moved, and who asks again may know where. */
  again(hostname: string): void {
    this.#names.get(hostname)?.again()
  }

  close(): void {
    this.follow([])
    this.#resolver.cancel()
  }

  /**
   * What the system says counts, its hosts file too; what DNS says of the TTL tells how long. With name servers of our own
   * these are asked first.
   * @throws {Error} the name does not resolve
   */
  async #resolve(hostname: string): Promise<Resolved> {
    if (this.#parts.servers.length > 0) {
      const answered = await this.#ask(hostname)
      return answered ?? { addresses: await bySystem(hostname), forMs: WITHOUT_TTL_MS }
    }
    const [addresses, answered] = await Promise.all([bySystem(hostname), this.#ask(hostname)])
    return { addresses, forMs: answered?.forMs ?? WITHOUT_TTL_MS }
  }

  /** Asks DNS: for IPv4 addresses, and where there are none for IPv6. Null where it knows neither. */
  async #ask(hostname: string): Promise<Resolved | null> {
    for (const type of ['resolve4', 'resolve6'] as const) {
      const records = await this.#resolver[type](hostname, { ttl: true }).catch(() => [])
      if (records.length === 0) continue
      const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1000
      return { addresses: records.map(({ address }) => address), forMs: Math.min(Math.max(ttlMs, MIN_MS), MAX_MS) }
    }
    return null
  }
}

/** One machine has both an IPv4 and an IPv6 address: used as two servers it would be asked twice as often. */
async function bySystem(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { all: true })
  const family = found.some((one) => one.family === 4) ? 4 : 6
  return found.filter((one) => one.family === family).map(({ address }) => address)
}

/** RFC 6761 section 6.3: it is this machine, by whichever family somebody listens on. */
function isLocal(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost')
}

/** One name while it is followed. */
class Name {
  readonly #hostname: string
  readonly #resolve: () => Promise<Resolved>
  readonly #parts: NameParts
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #lost = false
  addresses: readonly string[] = []

  constructor(hostname: string, resolve: () => Promise<Resolved>, parts: NameParts) {
    this.#hostname = hostname
    this.#resolve = resolve
    this.#parts = parts
    void this.#look()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** Asks again soon, whatever the TTL says. */
  again(): void {
    if (this.#stopped || this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), MIN_MS).unref()
  }

  async #look(): Promise<void> {
    this.#timer = undefined
    let forMs = WITHOUT_TTL_MS
    try {
      const resolved = await this.#resolve()
      forMs = resolved.forMs
      if (!this.#stopped) this.#take([...new Set(resolved.addresses)].sort())
    } catch (error) {
      if (!this.#stopped) this.#lose(error as Error)
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#look(), forMs).unref()
  }

  #take(addresses: readonly string[]): void {
    const before = this.addresses
    const { log, onChange } = this.#parts
    if (this.#lost) log.info({ event: 'name', name: this.#hostname }, `${this.#hostname} resolves again`)
    this.#lost = false
    if (addresses.join() === before.join()) return
    this.addresses = addresses
    log.info({ event: 'name', name: this.#hostname, addresses, before }, `${this.#hostname} is ${addresses.join(', ')}`)
    onChange()
  }

  /** What was known stays: a name server that is down is no reason to take servers out. */
  #lose({ message }: Error): void {
    if (this.#lost) return
    this.#lost = true
    const last =
      this.addresses.length === 0 ? 'no address is known' : `its last addresses stay: ${this.addresses.join(', ')}`
    this.#parts.log.warn(
      { event: 'name', name: this.#hostname, reason: message },
      `${this.#hostname} does not resolve; ${last}`,
    )
  }
}
