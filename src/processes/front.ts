/**
 * What faces the clients: one data plane in this process, or workers that have one each. The control plane beside it is the same.
 */
import type { AddressInfo } from 'node:net'
import { Planes } from '../control/figures/planes.ts'
import { newInstanceId, planeOf, type TableCore } from '../core.ts'
import type { Logs } from '../logging/log.ts'
import { handlerOf } from '../mount.ts'
import { Descriptors } from '../proxy/descriptors.ts'
import { Listener } from '../proxy/listen.ts'
import type { Plane } from '../proxy/plane.ts'
import type { Settings } from '../settings.ts'
import { linkTo } from '../state/local-plane.ts'

/** The side of the clients. */
export interface Front {
  readonly planes: Planes
  /**
   * Accepts connections from now on.
   * @returns the address in use, with the port that was taken for port 0
   * @throws what node:net says, EADDRINUSE and the like
   */
  listen(): Promise<AddressInfo>
  /** Whether requests are answered at all. */
  readonly isUp: boolean
  /** What is not well, in words; empty where all is. */
  problems(): string[]
  /** From now on each answer ends its connection. */
  endConnections(): void
  /** Accepts nothing new, lets what runs finish within so many milliseconds, and ends. */
  drain(timeoutMs: number): Promise<void>
  /** Ends a drain now: what still runs is cut. */
  hurry(): void
  /** Takes the code on disk, without losing a request, where it can. */
  replace(): void
  /** Opens the access log's file anew, where there is one. */
  reopenLog(): void
  /** Rejects with a `StartError` where it can't go on. */
  readonly broken: Promise<never>
}

/** The data plane in this process. */
export class OneProcess implements Front {
  readonly planes = new Planes()
  readonly isUp = true
  readonly broken = new Promise<never>(() => {})
  readonly #plane: Plane
  readonly #listener: Listener
  readonly #logs: Logs

  private constructor(plane: Plane, listener: Listener, logs: Logs) {
    this.#plane = plane
    this.#listener = listener
    this.#logs = logs
    this.planes.add(0, linkTo(plane.port))
  }

  /** @throws {StartError} what the settings or the table need and can't have */
  static async of(settings: Settings, { live }: TableCore, logs: Logs): Promise<OneProcess> {
    let listener: Listener | null = null
    const connections = (): number => listener?.connections ?? 0
    const plane = planeOf(settings, live, logs.log, { accessLog: logs.access, connections, instance: newInstanceId() })
    plane.engine.exclusive = settings.middleware === null
    const handler = await handlerOf(settings.middleware, plane.engine, logs.log)
    listener = new Listener({ ...settings.listen, ...settings }, plane.engine, plane.observer, handler)
    listener.descriptors = new Descriptors(logs.log)
    return new OneProcess(plane, listener, logs)
  }

  listen(): Promise<AddressInfo> {
    return this.#listener.listen()
  }

  problems(): string[] {
    return []
  }

  endConnections(): void {
    this.#plane.engine.draining = true
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#listener.drain({ timeoutMs })
    this.#plane.upstreams.close()
    await this.#plane.cache.close()
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
