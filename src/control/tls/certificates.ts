/**
 * Collects the TLS material of the public server from all sources, and publishes it after each change.
 */
import { NO_SERVER_TLS, type ServerPair, type ServerTls } from '../../state/tls/server-tls.ts'
import type { ControlLog } from '../control-log.ts'
import { TicketKeys } from './ticket-keys.ts'

/** Where certificates come from: files, or an authority (ACME). */
export interface CertificateSource {
  /** Certificates in use, by precedence. */
  readonly pairs: readonly ServerPair[]
  /** Certificates that answer tls-alpn-01 challenges. Default: none. */
  readonly challenges?: readonly ServerPair[]
  /** Answers to http-01 challenges by token. Default: none. */
  readonly answers?: Readonly<Record<string, string>>
  /** Authorities of client certificates, in PEM. Default: none. */
  readonly clientCa?: string | null
  /** Current problems, a line each. */
  readonly problems: readonly string[]
  /** Consecutive failed orders, by name. Default: none. */
  readonly failures?: ReadonlyMap<string, number>
  /** Starts renewing them. @param onChange resolves when all processes have applied a change */
  start?(onChange: () => Promise<void>): void
  close?(): Promise<void> | void
}

/** How often expiry is checked. */
const LOOK_MS = 60 * 60 * 1000
/** How often an expiring certificate is logged. */
const TELL_EVERY_MS = 24 * 60 * 60 * 1000

/** A certificate expires soon if less than a tenth of its life is left, but not before this. */
const SOON_SHARE = 0.1
const MAX_SOON_MS = 14 * 24 * 60 * 60 * 1000

/** All sources together. */
export class Certificates {
  readonly #sources: CertificateSource[] = []
  readonly #keys = new TicketKeys()
  readonly #log: ControlLog
  readonly #now: () => number
  readonly #toldAtMs = new Map<string, number>()
  #publish: (tls: ServerTls) => Promise<void> | void = () => {}
  #look: NodeJS.Timeout | undefined

  /** @param now epoch milliseconds */
  constructor(log: ControlLog, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** Adds a source. Its certificates come after those of earlier ones. */
  add(source: CertificateSource): void {
    this.#sources.push(source)
  }

  /** The material in use now. */
  get current(): ServerTls {
    if (this.#sources.length === 0) return NO_SERVER_TLS
    return {
      pairs: this.pairs,
      challenges: this.#sources.flatMap(({ challenges }) => challenges ?? []),
      answers: Object.assign({}, ...this.#sources.map(({ answers }) => answers ?? {})) as Record<string, string>,
      clientCa: this.#sources.map(({ clientCa }) => clientCa ?? null).find((ca) => ca !== null) ?? null,
      ticketKeys: this.#keys.current,
    }
  }

  get pairs(): readonly ServerPair[] {
    return this.#sources.flatMap(({ pairs }) => pairs)
  }

  /** Consecutive failed orders, by name. */
  get failures(): ReadonlyMap<string, number> {
    return new Map(this.#sources.flatMap(({ failures }) => [...(failures ?? [])]))
  }

  /** Current problems with certificates, a line each. */
  get problems(): readonly string[] {
    return [...this.#sources.flatMap(({ problems }) => problems), ...this.#expiring().map(({ told }) => told)]
  }

  /**
   * Publishes each change from now on.
   * @param publish resolves when all processes have applied it
   */
  start(publish: (tls: ServerTls) => Promise<void> | void): void {
    this.#publish = publish
    this.#keys.start(() => void this.changed())
    for (const source of this.#sources) source.start?.(() => this.changed())
    this.tellExpiring()
    this.#look = setInterval(() => this.tellExpiring(), LOOK_MS).unref()
  }

  /** A source has changed. Resolves when all processes have applied it, so that they answer a new challenge. */
  async changed(): Promise<void> {
    this.tellExpiring()
    await this.#publish(this.current)
  }

  /** Logs which certificates expire soon. */
  tellExpiring(): void {
    const nowMs = this.#now()
    for (const { pair, told } of this.#expiring()) {
      const before = this.#toldAtMs.get(pair.digest)
      if (before !== undefined && nowMs - before < TELL_EVERY_MS) continue
      this.#toldAtMs.set(pair.digest, nowMs)
      const fields = {
        event: 'certificate',
        certificate: pair.label,
        notAfter: new Date(pair.notAfterMs).toISOString(),
      }
      if (pair.notAfterMs <= nowMs) this.#log.error(fields, told)
      else this.#log.warn(fields, told)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#look)
    this.#keys.close()
    await Promise.all(this.#sources.map((source) => source.close?.()))
  }

  #expiring(): { readonly pair: ServerPair; readonly told: string }[] {
    const nowMs = this.#now()
    return this.pairs.flatMap((pair) => {
      const { notBeforeMs, notAfterMs, label } = pair
      const soonMs = Math.min((notAfterMs - notBeforeMs) * SOON_SHARE, MAX_SOON_MS)
      const date = new Date(notAfterMs).toISOString()
      if (notAfterMs <= nowMs) return [{ pair, told: `the certificate ${label} has expired (${date})` }]
      if (notAfterMs - nowMs < soonMs) return [{ pair, told: `the certificate ${label} expires on ${date}` }]
      if (notBeforeMs > nowMs) return [{ pair, told: `the certificate ${label} is not valid yet` }]
      return []
    })
  }
}
