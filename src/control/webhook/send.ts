/**
 * One try at delivering a webhook: signed, without redirects, within five seconds.
 */
import { createHmac } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

/** For connection, request and the status of the answer together. */
const PATIENCE_MS = 5000

/** Where it goes, and what signs it. */
export interface WebhookTarget {
  readonly url: string
  readonly secret: string
}

/** One message. */
export interface WebhookMessage {
  /** The same at each try: the receiver tells by it what it knows already. */
  readonly id: string
  /** JSON. */
  readonly body: string
}

/**
 * Why a URL can't be a webhook's, or null: what is sent says what moves where, so that only this machine gets it in clear.
 * @param text the URL
 */
export function flawOfWebhook(text: string): string | null {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return `invalid URL '${text}': expected https://HOST/PATH`
  if (url.username !== '' || url.password !== '') return 'the URL must not have a user name or a password'
  if (url.hash !== '') return 'the URL must not have a fragment'
  const isLoopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  if (url.protocol === 'http:' && !isLoopback)
    return 'http:// is only for this machine (localhost, 127.0.0.1): use https://'
  return null
}

/** The signature of a body: `t=1700000000,v1=HEX`, HMAC-SHA256 of the time, a dot and the body. @param atS epoch seconds */
export function signatureOf({ secret }: WebhookTarget, body: string, atS: number): string {
  return `t=${atS},v1=${createHmac('sha256', secret).update(`${atS}.${body}`).digest('hex')}`
}

/**
 * Sends a message. Never rejects.
 * @param nowMs epoch milliseconds
 * @returns null where it was answered with 2xx, else why not
 */
export function sendWebhook(
  target: WebhookTarget,
  { id, body }: WebhookMessage,
  nowMs: number,
): Promise<string | null> {
  const url = new URL(target.url)
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    'User-Agent': 'banyan',
    'Banyan-Webhook-Id': id,
    'Banyan-Signature': signatureOf(target, body, Math.floor(nowMs / 1000)),
  }
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const req = send(url, { method: 'POST', headers, agent: false, signal }, (res) => {
      const { statusCode: status = 0 } = res
      // Whatever else it says is of no interest, and may never end.
      res.destroy()
      resolve(status >= 200 && status < 300 ? null : `it answered ${status}`)
    })
    req.on('error', (error: NodeJS.ErrnoException) =>
      resolve(signal.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : (error.code ?? error.message)),
    )
    req.end(body)
  })
}
