# The image of a task on a cluster: Python with torch and the libraries of constraints.txt. dlcycle itself comes with the
# code package of each run, so an image serves every version that has the same libraries.
#
#   docker build -t REGISTRY/dlcycle .
#   docker build -t REGISTRY/dlcycle:cuda --build-arg TORCH_INDEX=INDEX_OF_A_CUDA_BUILD .
FROM python:3.11-slim

# Where torch's build comes from: for CPUs, unless told otherwise; pytorch.org lists the indexes of its CUDA builds.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Metaflow would install its own needs each time a pod starts; they are among the libraries below.
ENV METAFLOW_SKIP_INSTALL_DEPENDENCIES=1 \
    PYTHONUNBUFFERED=1

WORKDIR /build
COPY constraints.txt ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt --extra-index-url "$TORCH_INDEX" torch
COPY setup.cfg pyproject.toml README.md ./
COPY cards ./cards
COPY dlcycle ./dlcycle
COPY flows ./flows
RUN python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && python -m pip uninstall --yes dlcycle

# Metaflow unpacks the code package in the working directory.
RUN useradd --create-home --uid 1000 metaflow
USER 1000
WORKDIR /home/metaflow
