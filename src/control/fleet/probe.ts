/**
 * One active health check: a GET on its own connection, whose response is compared with the table's expectations.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { ConnectionOptions } from 'node:tls'
import { causeText } from '../../rules/failures/cause.ts'
import { faultOfAnswer } from '../../rules/failures/health.ts'
import type { HealthSettings } from '../../rules/table/table.ts'
import type { Dial } from '../../state/upstreams/pool.ts'

/** Target and settings of a probe. */
export interface ProbeTarget {
  /** The address to connect to. */
  readonly dial: Dial
  readonly port: number
  /** Of a Unix socket, in the place of host and port; null for none. */
  readonly socketPath: string | null
  /** Null for plain HTTP. */
  readonly tls: ConnectionOptions | null
  /** The Host header. */
  readonly host: string
  readonly settings: HealthSettings
}

/** Result of a probe. */
export interface ProbeResult {
  readonly good: boolean
  /** A short text: `status 200`, `connection refused`, `no answer within 1s`. */
  readonly detail: string
}

/** Maximum size of the body that is read. */
const MAX_BODY_BYTES = 64 * 1024

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  ENOENT: 'no such socket',
  EACCES: 'permission denied',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name lookup failed temporarily',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
}

/** Probes once. Never rejects. Ends at the timeout of the settings, or when `signal` fires. */
export async function probe(target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const { settings } = target
  const timeout = AbortSignal.timeout(settings.timeoutMs)
  try {
    const res = await head(target, AbortSignal.any([timeout, signal]))
    const status = res.statusCode ?? 0
    const body = settings.body === null ? null : await beginning(res)
    res.destroy()
    const fault = faultOfAnswer(settings, status, body)
    return { good: fault === null, detail: fault ?? `status ${status}` }
  } catch (error) {
    if (timeout.aborted) return { good: false, detail: `timed out after ${settings.timeoutMs} ms` }
    const { code = '' } = error as NodeJS.ErrnoException
    return { good: false, detail: CAUSES[code] ?? causeText(error as Error) }
  }
}

function head(
  { dial, port, socketPath, tls, host, settings }: ProbeTarget,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const headers = { Host: host, 'User-Agent': 'banyan-health', Accept: '*/*', Connection: 'close' }
  const where = socketPath === null ? { ...dial, port } : { socketPath }
  const options = { ...where, method: 'GET', path: settings.path, headers, agent: false, signal } as const
  return new Promise((resolve, reject) => {
    const req = tls === null ? httpRequest(options, resolve) : httpsRequest({ ...options, ...tls }, resolve)
    req.on('error', reject)
    req.end()
  })
}

async function beginning(res: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of res.iterator({ destroyOnReturn: false })) {
    pieces.push(piece as Buffer)
    size += (piece as Buffer).length
    if (size >= MAX_BODY_BYTES) break
  }
  return Buffer.concat(pieces).subarray(0, MAX_BODY_BYTES).toString('utf8')
}
