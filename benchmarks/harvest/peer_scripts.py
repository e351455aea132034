"""What peers that are libraries are asked to do: small programs for their own environments.

Each takes a job as JSON, copies, and prints the seconds and CPU seconds of the copying alone.
"""

_HEAD = """
import asyncio, concurrent.futures, json, os, sys, time, urllib.request
job = json.loads(sys.argv[1]); access, secret, bucket = sys.argv[2:5]
names = [job["prefix"] + "i%d/data/o%d" % (n, n) for n in range(job["count"])]
def told(began, cpu):
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}), flush=True)
    os._exit(0)
"""

BOTO3 = (
    _HEAD
    + """
import boto3
from botocore.config import Config
def client(endpoint):
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=64,
        request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access,
        aws_secret_access_key=secret, config=config)
target = client(job["endpoint"]); source = client(job["source"]) if job["kind"] == "s3" else None
def copy(name):
    if source:
        body = source.get_object(Bucket=bucket, Key=name)["Body"]
    else:
        body = urllib.request.urlopen(job["source"] + "/" + name)
    target.upload_fileobj(body, bucket, name, Config=boto3.s3.transfer.TransferConfig(
        multipart_threshold=1 << 30 if job["single"] else 8 << 20))
with concurrent.futures.ThreadPoolExecutor(job["at_once"]) as pool:
    began, cpu = time.monotonic(), time.process_time()
    list(pool.map(copy, names))
told(began, cpu)
"""
)

OBSTORE = (
    _HEAD
    + """
import obstore
from obstore.store import HTTPStore, S3Store
def s3(endpoint):
    return S3Store(bucket, endpoint=endpoint, region="us-east-1", access_key_id=access, secret_access_key=secret,
        virtual_hosted_style_request=False, unsigned_payload=True, client_options={"allow_http": True})
source = s3(job["source"]) if job["kind"] == "s3" else HTTPStore.from_url(
    job["source"], client_options={"allow_http": True})
target = s3(job["endpoint"])
async def main():
    gate = asyncio.Semaphore(job["at_once"])
    async def copy(name):
        async with gate:
            got = await obstore.get_async(source, name)
            await obstore.put_async(target, name, await got.bytes_async(), use_multipart=False)
    await asyncio.gather(*map(copy, names))
began, cpu = time.monotonic(), time.process_time()
asyncio.run(main())
told(began, cpu)
"""
)

AIOBOTOCORE = (
    _HEAD
    + """
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
def client(endpoint):
    config = AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=64,
        request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return get_session().create_client("s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=access, aws_secret_access_key=secret, config=config)
async def read(name, source):
    got = await source.get_object(Bucket=bucket, Key=name)
    async with got["Body"] as body:
        return await body.read()
def fetch(name):
    with urllib.request.urlopen(job["source"] + "/" + name) as body:
        return body.read()
async def main():
    gate = asyncio.Semaphore(job["at_once"])
    async with client(job["endpoint"]) as target, client(job["source"]) as source:
        async def copy(name):
            async with gate:
                body = await (read(name, source) if job["kind"] == "s3" else asyncio.to_thread(fetch, name))
                await target.put_object(Bucket=bucket, Key=name, Body=body)
        await asyncio.gather(*map(copy, names))
began, cpu = time.monotonic(), time.process_time()
asyncio.run(main())
told(began, cpu)
"""
)
