/**
 * nginx in the foreground, as upstream and as contestant: one worker, everything it writes inside one folder.
 */
import type { Running, Stage } from './stage.ts'

/** A whole configuration around the contents of its `http` block. `folder` takes all files that nginx writes. */
export function nginxFrame(folder: string, http: string): string {
  // Started by root, nginx would give its worker to an account that may not enter the temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `${user}
    daemon off;
    worker_processes 1;
    pid ${folder}/nginx.pid;
    error_log stderr error;
    events { worker_connections 4096; }
    http {
      client_body_temp_path ${folder}/body;
      proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi;
      scgi_temp_path ${folder}/scgi;
      default_type application/octet-stream;
      tcp_nodelay on;
      # The default of 1,000 requests per connection would measure connecting.
      keepalive_requests 1000000000;
      keepalive_timeout 1h;
      ${http}
    }
`
}

/** Starts nginx with a configuration file; resolves when it listens. */
export function startNginx(
  stage: Stage,
  name: string,
  core: 'proxy' | 'load',
  where: { readonly folder: string; readonly file: string; readonly port: number },
): Promise<Running> {
  return stage.start({
    name,
    core,
    command: ['nginx', '-p', where.folder, '-c', where.file, '-e', 'stderr'],
    ready: { port: where.port },
  })
}
