/**
 * Where requests that came without TLS are sent.
 */

/** The URLs with https beside those without. */
export class HttpsRedirect {
  readonly #port: string

  /** @param port of the address that speaks TLS */
  constructor(port: number) {
    this.#port = port === 443 ? '' : `:${port}`
  }

  /**
   * The same URL with https. Who has named no port, or 80, has come to port 80, whatever port that leads to here, and finds https at 443;
   * who has named another one sees the ports as they are.
   * @param host as the request names it, with its port or without; '' for none
   * @param target of the request, in origin form
   * @returns null where it names no host
   */
  locationOf(host: string, target: string): string | null {
    if (host === '') return null
    const [, name = host, port] = /^(.*?)(?::([0-9]*))?$/.exec(host.endsWith(']') ? `${host}:` : host) ?? []
    return `https://${name}${port && Number(port) !== 80 ? this.#port : ''}${target === '*' ? '/' : target}`
  }
}
