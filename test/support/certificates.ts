/**
 * Certificates for tests, made on the spot: each signed by its own key, so that it is its own authority.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate and its key, in PEM. */
export interface Made {
  readonly cert: string
  readonly key: string
}

/** @param altNames as openssl takes them: `DNS:up.test,IP:127.0.0.1`; null for a certificate without any */
export function selfSigned(commonName: string, altNames: string | null): Made {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  const [cert, key] = [join(folder, 'cert'), join(folder, 'key')]
  const names = altNames === null ? [] : ['-addext', `subjectAltName=${altNames}`]
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', ...made, '-keyout', key, '-out', cert, '-subj', `/CN=${commonName}`, ...names], {
    stdio: 'ignore',
  })
  const read = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  rmSync(folder, { recursive: true })
  return read
}
