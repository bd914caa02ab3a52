{{/* Names, labels and parts of specs that several objects share. */}}

{{- define "wanneng.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "wanneng.selector" -}}
app.kubernetes.io/name: wanneng
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
wanneng.io/pool: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "wanneng.labels" -}}
{{ include "wanneng.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "wanneng.image" -}}
{{- $image := index .root.Values.images .image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* `pod` of the values, with that of a component (`own`), which wins, as JSON. */}}
{{- define "wanneng.podOptions" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.pod) (deepCopy (default dict .own)) | toJson -}}
{{- end -}}

{{/* Labels of a Pod; those that select it win. `me` is root, component and pool. */}}
{{- define "wanneng.podLabels" -}}
{{- mustMergeOverwrite (deepCopy (default dict .options.labels)) (include "wanneng.selector" .me | fromYaml) | toYaml -}}
{{- end -}}

{{/* Annotations of a Pod: those of the values (`options`), then those of metrics on `port`, then `own`, which wins. */}}
{{- define "wanneng.podAnnotations" -}}
{{- $annotations := deepCopy (default dict .options.annotations) -}}
{{- if and .port .root.Values.monitoring.scrapeAnnotations -}}
{{- $_ := mustMergeOverwrite $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .port) "prometheus.io/path" "/metrics") -}}
{{- end -}}
{{- $_ := mustMergeOverwrite $annotations (default dict .own) -}}
{{- if $annotations -}}{{ toYaml $annotations }}{{- end -}}
{{- end -}}

{{/* Start of every Pod spec. No Pod uses the Kubernetes API, so none gets a token. */}}
{{- define "wanneng.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .options.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .options.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .priorityClassName | default .options.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "wanneng.podSecurityContext" -}}
{{- toYaml (mustMergeOverwrite (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) (default dict .securityContext)) -}}
{{- end -}}

{{- define "wanneng.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Spreads Pods over nodes and zones where possible. */}}
{{- define "wanneng.spread" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "wanneng.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/*
All pools, merged with their defaults, the facts of their configuration and the ID of their engine, as YAML:
{pools: {name: {...}}}. The ID is a hash of everything that determines the engine: source, target, precision, batching,
the version of the image that builds it without its patch level and, for TensorRT, the compute capability. A pool that
names an engine (`prebuilt`) has its path in place of the ID.
*/}}
{{- define "wanneng.pools" -}}
{{- $configs := .Files.Get "files/configs.yaml" | fromYaml -}}
{{- $pools := dict -}}
{{- range $name, $given := .Values.pools -}}
{{- $pool := mustMergeOverwrite (deepCopy $.Values.poolDefaults) (deepCopy (default dict $given)) -}}
{{- /* checks.yaml rejects unknown configurations. Until then the template needs some facts to render. */ -}}
{{- $facts := get $configs $pool.config | default (dict "image" "tritonCpu" "precisions" list "buckets" list "unknown" true) -}}
{{- $source := $pool.model.source | default $.Values.model.source -}}
{{- $kind := list $source $facts.target $.Values.model.precision $facts.front -}}
{{- if eq (toString $facts.target) "tensorrt" -}}
{{- $kind = append $kind $pool.computeCapability -}}
{{- end -}}
{{- $kind = append $kind (include "wanneng.engineVersion" (dict "root" $ "image" $facts.image)) -}}
{{- $_ := set $pool "facts" $facts -}}
{{- $_ := set $pool "source" $source -}}
{{- $_ := set $pool "hasShare" (not (kindIs "invalid" $pool.model.share)) -}}
{{- $_ := set $pool "prebuilt" (not (empty $pool.engine)) -}}
{{- if $pool.prebuilt -}}
{{- $_ := set $pool "engineFolder" (printf "/engines/%s" $pool.engine) -}}
{{- else if $.Values.model.source -}}
{{- $_ := set $pool "engine" (join " " $kind | sha256sum | trunc 12) -}}
{{- $_ := set $pool "engineFolder" (printf "/engines/built/%s" $pool.engine) -}}
{{- else -}}
{{- $_ := set $pool "engineFolder" "/opt/wanneng/embedded" -}}
{{- end -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- dict "pools" $pools | toYaml -}}
{{- end -}}

{{/* What engines of an image have in common: patch releases build the same ones. */}}
{{- define "wanneng.engineVersion" -}}
{{- $image := index .root.Values.images .image -}}
{{- $tag := default .root.Chart.AppVersion $image.tag -}}
{{- if regexMatch "^v?[0-9]+\\.[0-9]+\\.[0-9]+$" $tag -}}
{{ .image }} {{ regexReplaceAll "\\.[0-9]+$" $tag "" }}
{{- else -}}
{{ .image }} {{ $tag }}
{{- end -}}
{{- end -}}

{{/* Reference to a Secret: the existing one (`given`) if it has a name, otherwise the chart's (`name`, `key`). */}}
{{- define "wanneng.secretKeyRef" -}}
name: {{ .given.name | default .name | quote }}
key: {{ ternary .given.key .key (not (empty .given.name)) | quote }}
{{- end -}}

{{/*
`length` hexadecimal digits of the generated key `use`: at random, or derived from keySeed, so that every rendering has
the same ones. Within a rendering they are the same everywhere.
*/}}
{{- define "wanneng.generated" -}}
{{- $made := get .root.Values "generated" | default dict -}}
{{- if not (hasKey $made .use) -}}
{{- $digits := printf "%x" (randBytes 32 | b64dec) -}}
{{- if .root.Values.keySeed -}}
{{- $digits = list .root.Values.keySeed .root.Release.Namespace (include "wanneng.fullname" .root) .use | join "\n" | sha256sum -}}
{{- end -}}
{{- $_ := set $made .use $digits -}}
{{- $_ := set .root.Values "generated" $made -}}
{{- end -}}
{{- get $made .use | trunc .length -}}
{{- end -}}

{{/* The key in the chart's Secret `name`, as it is in the cluster, or else a new one; in base64. */}}
{{- define "wanneng.ownKey" -}}
{{- $existing := include "wanneng.existingData" . | fromJson -}}
{{- get $existing .key | default (include "wanneng.generated" (dict "root" .root "use" .key "length" 64) | b64enc) -}}
{{- end -}}

{{/*
Checksum of the Secrets that Pods of a component read as environment variables, which do not change in a running Pod.
Contents of existing Secrets count where the cluster is known.
*/}}
{{- define "wanneng.secretsChecksum" -}}
{{- $root := .root -}}
{{- $full := include "wanneng.fullname" $root -}}
{{- $values := $root.Values -}}
{{- $contents := list -}}
{{- range .of -}}
{{- $given := get (dict "database" $values.database.existingSecret "redis" $values.redis.existingSecret "admin-key" $values.database.adminKeySecret "internal-key" $values.internalKeySecret "oidc-client" $values.controlPlane.oidc.clientSecret) . -}}
{{- if $given.name -}}
{{- $data := include "wanneng.existingData" (dict "root" $root "name" $given.name) | fromJson -}}
{{- $contents = append $contents (printf "%s %s %s" $given.name $given.key (get $data $given.key)) -}}
{{- else if eq . "database" -}}
{{- $contents = append $contents $values.database.url -}}
{{- else if eq . "redis" -}}
{{- $contents = append $contents $values.redis.url -}}
{{- else if and (hasSuffix "-key" .) (or (include "wanneng.hasDatabase" $root) (and (eq . "internal-key") (include "wanneng.hasRedis" $root))) -}}
{{- $contents = append $contents (include "wanneng.ownKey" (dict "root" $root "name" (printf "%s-%s" $full (trimSuffix "-key" .)) "key" .)) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $contents | sha256sum | trunc 16 -}}
{{- end -}}

{{/*
Data of one of the chart's Secrets as it is in the cluster; empty where it is missing or no cluster is known, as in
`helm template`.
*/}}
{{- define "wanneng.existingData" -}}
{{- (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict | toJson -}}
{{- end -}}

{{- define "wanneng.databaseEnv" -}}
- name: WANNENG_DATABASE_URL
  valueFrom:
    secretKeyRef: {{- include "wanneng.secretKeyRef" (dict "given" .root.Values.database.existingSecret "name" .secret "key" "url") | nindent 6 }}
{{- end -}}

{{- define "wanneng.adminKeyRef" -}}
{{- include "wanneng.secretKeyRef" (dict "given" .Values.database.adminKeySecret "name" (printf "%s-admin" (include "wanneng.fullname" .)) "key" "admin-key") -}}
{{- end -}}

{{- define "wanneng.internalKeyEnv" -}}
- name: WANNENG_INTERNAL_KEY
  valueFrom:
    secretKeyRef: {{- include "wanneng.secretKeyRef" (dict "given" .Values.internalKeySecret "name" (printf "%s-internal" (include "wanneng.fullname" .)) "key" "internal-key") | nindent 6 }}
{{- end -}}

{{- define "wanneng.hasDatabase" -}}
{{- if or .Values.database.url .Values.database.existingSecret.name }}true{{ end -}}
{{- end -}}

{{- define "wanneng.hasRedis" -}}
{{- if or .Values.redis.url .Values.redis.existingSecret.name }}true{{ end -}}
{{- end -}}

{{/* Addresses of the pools and their length buckets. */}}
{{- define "wanneng.tritonEnv" -}}
{{- $full := include "wanneng.fullname" . -}}
{{- $urls := list -}}
{{- $buckets := list -}}
{{- range $name, $pool := (include "wanneng.pools" . | fromYaml).pools -}}
{{- $share := ternary (printf "&share=%v" $pool.model.share) "" $pool.hasShare -}}
{{- $urls = append $urls (printf "dns+http://%s-triton-%s:8000#pool=%s&weight=%v%s" $full $name $name $pool.weight $share) -}}
{{- $buckets = $pool.facts.buckets -}}
{{- end -}}
- name: WANNENG_TRITON_URL
  value: {{ join "," $urls | quote }}
{{- if $buckets }}
- name: WANNENG_LENGTH_BUCKETS
  value: {{ join "," $buckets | quote }}
{{- end }}
{{- end -}}

{{/* The user's settings for `process`. Those of the gateway also apply to other processes that know them. */}}
{{- define "wanneng.settingsEnv" -}}
{{- $known := index (.root.Files.Get "files/settings.yaml" | fromYaml) .process -}}
{{- $settings := deepCopy .root.Values.gateway.settings -}}
{{- if ne .process "gateway" -}}
{{- $settings = mergeOverwrite $settings .root.Values.controlPlane.settings -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{- if has $name $known }}
- name: {{ $name }}
  {{- /* Helm parses numbers as floats, which Go prints as 6.4e+07. */}}
  value: {{ ternary (printf "%.0f" (float64 $value)) (toString $value) (and (kindIs "float64" $value) (eq (toString (floor $value)) (toString $value))) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Processes of a gateway: one for each core that it requests. */}}
{{- define "wanneng.gatewayWorkers" -}}
{{- $cpu := dig "requests" "cpu" "1" .Values.gateway.resources | toString -}}
{{- $millis := ternary (trimSuffix "m" $cpu | float64) (mulf (trimSuffix "m" $cpu | float64) 1000) (hasSuffix "m" $cpu) -}}
{{- max 1 (div (int $millis) 1000) -}}
{{- end -}}

{{- define "wanneng.tenantsSecret" -}}
{{- .Values.existingTenantsSecret | default (printf "%s-tenants" (include "wanneng.fullname" .)) -}}
{{- end -}}

{{/* ID of the first tenant whose API key the chart generates. */}}
{{- define "wanneng.tenantWithKey" -}}
{{- $ids := list -}}
{{- range .Values.tenants -}}
{{- if not (hasKey . "keys") -}}
{{- $ids = append $ids .id -}}
{{- end -}}
{{- end -}}
{{- if and $ids (empty .Values.existingTenantsSecret) -}}{{ first $ids }}{{- end -}}
{{- end -}}

{{/* Egress to DNS, to components of this release (`pods`: component and port) and to services outside (`external`). */}}
{{- define "wanneng.egress" -}}
- to: {{- toYaml .root.Values.networkPolicies.dns | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- range .pods }}
- to:
    - podSelector:
        matchLabels: {{- include "wanneng.selector" (dict "root" $.root "component" .component) | nindent 10 }}
  ports: [{port: {{ .port }}}]
{{- end }}
{{- range .external }}
{{- with index $.root.Values.networkPolicies.egress . }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether pools have no Pod while nobody asks; checks.yaml admits all of them or none. */}}
{{- define "wanneng.scalesToZero" -}}
{{- range (include "wanneng.pools" . | fromYaml).pools -}}
{{- if and .autoscaling.enabled (eq (int .autoscaling.minReplicas) 0) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Scales up immediately and down slowly, since a new Pod takes long to start. */}}
{{- define "wanneng.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 30}, {type: Pods, value: 2, periodSeconds: 30}]
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: {{ max 1 (min 1800 (int .scaleDownSeconds)) }}}]
{{- end -}}

{{/* A container's resources with `count` GPUs added to requests and limits. */}}
{{- define "wanneng.withGpus" -}}
{{- $resources := deepCopy .resources -}}
{{- $gpus := dict .pool.gpuResource .count -}}
{{- range list "requests" "limits" -}}
{{- $_ := set $resources . (mergeOverwrite (deepCopy (default dict (get $resources .))) $gpus) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
