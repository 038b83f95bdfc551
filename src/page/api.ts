/**
 * The admin API, as everybody else asks it. The token is kept for this tab only, and is sent in a header: never in a URL or a cookie.
 */

const TOKEN = 'banyan-token'

/** An error that the API told, or that it can't be reached. */
export class ApiError extends Error {
  /** 0: no answer. */
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }

  /** It asks for a token, or for another one. */
  get wantsToken(): boolean {
    return this.status === 401 || this.code === 'too-many-attempts'
  }
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN) !== null
}

/** @param token null forgets it */
export function setToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(TOKEN)
  else sessionStorage.setItem(TOKEN, token)
}

/** A request with a body, or one that changes something. */
export interface Act {
  readonly method: 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  /** Where the API takes the reason in the body it is in there too. */
  readonly reason?: string
  /** The revision that it is meant for. */
  readonly ifMatch?: string
}

/**
 * @returns the body of the answer
 * @throws {ApiError} the API refuses it, or can't be reached
 */
export async function read<Body>(path: string): Promise<Body> {
  const response = await send(path, { headers: headersOf() })
  return (await response.json()) as Body
}

/** @throws {ApiError} as `read` */
export async function act<Body>(wanted: Act): Promise<Body> {
  const response = await sendAct(wanted)
  return (response.status === 204 ? null : await response.json()) as Body
}

/**
 * What an edit would change.
 * @returns the answer, and the entity tag of the revision that it is about
 * @throws {ApiError} as `read`
 */
export async function dryRun<Body>(wanted: Act): Promise<Body & { readonly etag: string }> {
  const response = await sendAct({ ...wanted, path: `${wanted.path}?dryRun=true` })
  return { ...((await response.json()) as Body), etag: response.headers.get('ETag') as string }
}

async function sendAct({ method, path, body, reason, ifMatch }: Act): Promise<Response> {
  const headers = headersOf()
  if (body !== undefined) headers.set('Content-Type', 'application/json')
  // Field values are bytes: the API reads these as UTF-8.
  if (reason) headers.set('Banyan-Reason', String.fromCharCode(...new TextEncoder().encode(reason)))
  if (ifMatch !== undefined) headers.set('If-Match', ifMatch)
  return await send(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

/** Calls `take` with each line of a stream of JSON, until it ends or `signal` ends it. @throws {ApiError} as `read` */
export async function readLines(path: string, signal: AbortSignal, take: (line: never) => void): Promise<void> {
  const response = await send(path, { headers: headersOf(), signal })
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream() as never).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = (await reader.read()) as { done: boolean; value: string }
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop() as string
    for (const line of lines) if (line !== '') take(JSON.parse(line) as never)
  }
}

function headersOf(): Headers {
  const token = sessionStorage.getItem(TOKEN)
  const headers = new Headers({ Accept: 'application/json' })
  if (token !== null) headers.set('Authorization', `Bearer ${token}`)
  return headers
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(path, { ...init, cache: 'no-store', redirect: 'error' })
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    throw new ApiError(0, 'unreachable', 'banyan does not answer')
  }
  if (response.ok) return response
  const problem = (await response.json().catch(() => ({}))) as {
    type?: string
    title?: string
    detail?: string
    errors?: { pointer: string; detail: string }[]
  }
  const errors = (problem.errors ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`)
  const said = [problem.title ?? `status ${response.status}`, problem.detail, ...errors].filter(Boolean)
  throw new ApiError(response.status, problem.type?.split(':').pop() ?? 'unknown', said.join('. '))
}

/** A path of the API with a value in it. */
export function at(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return String.raw(strings, ...values.map((value) => encodeURIComponent(value)))
}
