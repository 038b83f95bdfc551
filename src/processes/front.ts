/**
 * The client-facing part: a data plane in this process, or workers with one each. The control plane is the same for both.
 */
import { Planes } from '../control/figures/planes.ts'
import { newInstanceId, planeOf, type TableCore } from '../core.ts'
import type { Logs } from '../logging/log.ts'
import type { Tracing } from '../logging/spans.ts'
import { tracingOf } from '../logging/tracing.ts'
import { publicServerOf } from '../mount.ts'
import { Descriptors } from '../proxy/client/descriptors.ts'
import type { Bound } from '../proxy/client/listen-at.ts'
import type { PublicServer } from '../proxy/client/listener.ts'
import type { Plane } from '../proxy/plane.ts'
import { placesOf, type Settings } from '../settings/settings.ts'
import { linkTo } from '../state/local-plane.ts'
import type { Pin } from '../state/pins.ts'
import type { ServerTls } from '../state/tls/server-tls.ts'
import { onlyWithRoom } from '../wire/shortages.ts'
import { Secure } from './secure.ts'

/** The client-facing part. */
export interface Front {
  readonly planes: Planes
  /**
   * Accepts connections from now on.
   * @returns the bound address of each place, with the actual port for port 0
   * @throws errors of node:net, such as EADDRINUSE
   */
  listen(): Promise<Bound[]>
  /** Uses other certificates for new connections. Resolves when all processes do. */
  setTls(tls: ServerTls): Promise<void>
  /** Whether requests are served. */
  readonly isUp: boolean
  /** Current problems, for readiness reasons; empty if there are none. */
  problems(): string[]
  /** From now on each response closes its connection. */
  endConnections(): void
  /** Stops accepting, lets requests in flight finish within the timeout, and ends. */
  drain(timeoutMs: number): Promise<void>
  /** Ends a drain now and aborts what is still in flight. */
  hurry(): void
  /** Switches to the code on disk without losing a request, if possible. */
  replace(): void
  /** Reopens the access log file, if there is one. */
  reopenLog(): void
  /** Told of the pins of writes to this instance. */
  onPinned(listener: (pins: readonly Pin[]) => void): void
  /** Told of the host name of each server that a data plane finds ill. */
  onSuspect(listener: (hostname: string) => void): void
  /** Rejects with a `StartError` on a fatal failure. */
  readonly broken: Promise<never>
}

/** The data plane in this process. */
export class OneProcess implements Front {
  readonly planes = new Planes()
  readonly isUp = true
  readonly broken = new Promise<never>(() => {})
  readonly #plane: Plane
  readonly #listener: PublicServer
  readonly #secure: Secure
  readonly #logs: Logs
  readonly #tracing: Tracing | null

  private constructor(
    plane: Plane,
    listener: PublicServer,
    secure: Secure,
    ...[logs, tracing]: [Logs, Tracing | null]
  ) {
    this.#plane = plane
    this.#listener = listener
    this.#secure = secure
    this.#logs = logs
    this.#tracing = tracing
    this.planes.add(0, linkTo(plane.port))
  }

  /** @throws {StartError} if something that the settings or the table need is unavailable */
  static async of(settings: Settings, { live, cookieKeys }: TableCore, logs: Logs): Promise<OneProcess> {
    let listener: PublicServer | null = null
    const connections = (): number => listener?.connections ?? 0
    const tracing = await tracingOf(settings, logs.log)
    const plane = planeOf(settings, live, logs.log, {
      tracer: tracing?.tracer ?? null,
      accessLog: logs.access,
      connections,
      instance: newInstanceId(),
      cookieKeys,
    })
    const places = placesOf(settings)
    const secure = new Secure(settings, plane, logs.log)
    listener = await publicServerOf({ ...settings, places, tls: secure.terms }, plane.engine, logs.log)
    const descriptors = new Descriptors(logs.log)
    listener.descriptors = descriptors
    onlyWithRoom((coming) => descriptors.hasRoom(coming))
    return new OneProcess(plane, listener, secure, logs, tracing)
  }

  onSuspect(listener: (hostname: string) => void): void {
    this.#plane.upstreams.onSuspect = listener
  }

  onPinned(listener: (pins: readonly Pin[]) => void): void {
    this.#plane.pins.onPinned = (pin) => listener([pin])
  }

  listen(): Promise<Bound[]> {
    return this.#listener.listen()
  }

  async setTls(tls: ServerTls): Promise<void> {
    this.#secure.set(tls)
  }

  problems(): string[] {
    return []
  }

  endConnections(): void {
    this.#plane.engine.draining = true
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#listener.drain({ timeoutMs })
    // What was counted since the last report.
    await this.planes.figures()
    this.#plane.upstreams.close()
    await Promise.all([this.#plane.cache.close(), this.#tracing?.close()])
  }

  hurry(): void {
    this.#listener.hurry()
  }

  reopenLog(): void {
    this.#logs.reopen()
  }

  replace(): void {
    this.#logs.reopen()
    this.#logs.log.warn(
      { event: 'reload' },
      'SIGHUP: no workers to replace with --workers 0, restart to load new code; reopened the access log',
    )
  }
}
