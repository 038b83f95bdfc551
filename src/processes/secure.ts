/**
 * TLS for the public server in one process: its contexts, and metrics and log lines for handshakes.
 */
import type { ControlLog } from '../control/control-log.ts'
import { ServerContexts } from '../proxy/client/tls/contexts.ts'
import type { HandshakeTerms } from '../proxy/client/tls/handshakes.ts'
import type { Engine } from '../proxy/engine.ts'
import type { Plane } from '../proxy/plane.ts'
import type { Settings } from '../settings/settings.ts'
import type { ServerTls } from '../state/tls/server-tls.ts'

/** Maximum frequency of the log message about handshakes that failed. */
const TELL_EVERY_MS = 60_000

/** TLS in one process. */
export class Secure {
  readonly terms: HandshakeTerms
  readonly #contexts: ServerContexts
  readonly #engine: Pick<Engine, 'acmeAnswers'>
  readonly #log: ControlLog
  #toldAtMs = Number.NEGATIVE_INFINITY
  #failed = 0

  constructor(settings: Settings, { measurements, engine }: Pick<Plane, 'measurements' | 'engine'>, log: ControlLog) {
    this.#engine = engine
    const { tlsMinVersion: minVersion, tlsCiphers: ciphers, tlsClientCa, tlsClientVerify } = settings
    const clientCertificates = tlsClientCa === null ? 'none' : tlsClientVerify
    this.#contexts = new ServerContexts({ minVersion, ciphers, clientCertificates })
    this.#log = log
    this.terms = {
      contexts: this.#contexts,
      timeoutMs: settings.tlsHandshakeTimeoutMs,
      onEnd: (outcome, client, why) => {
        measurements.shook(outcome)
        if (why !== null) this.#tell(client, why)
      },
    }
  }

  /** Uses new certificates for new connections. If they can't be used, the old ones stay. */
  set(tls: ServerTls): void {
    this.#engine.acmeAnswers = new Map(Object.entries(tls.answers))
    try {
      this.#contexts.set(tls)
    } catch (error) {
      this.#log.error({ event: 'certificate' }, `certificates stay as they were: ${(error as Error).message}`)
    }
  }

  #tell(client: string | undefined, why: string): void {
    this.#failed++
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    const message = `TLS handshake with ${client ?? 'a client'} failed (${why}); failed since the last message: ${this.#failed}`
    this.#log.warn({ event: 'handshake', client: client ?? null, failed: this.#failed }, message)
    this.#toldAtMs = nowMs
    this.#failed = 0
  }
}
